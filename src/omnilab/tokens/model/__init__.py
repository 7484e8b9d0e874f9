"""The nouns and pure rules of tokens: no I/O, no clock, no randomness."""
