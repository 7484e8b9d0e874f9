"""OmniLab's machine-to-machine platform: tokens for backends, the guard that checks them, and the APIs behind it."""

__version__ = "0.1.0"
