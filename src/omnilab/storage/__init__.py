"""Where state lives: the engine, transactions, group commit, the change feed and migrations. Knows no house."""
