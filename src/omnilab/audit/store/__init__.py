"""The only SQL of the audit: the sink that appends to the chain, the records read back, the chains walked."""
