"""The verbs of tokens: issuing, and the life of the signing keys."""
