"""Randomness, masked secrets, keyed hashes, sealing at rest and signing. Knows no house and no I/O."""
