"""The settings of one deployment: one frozen tree, read once from `OMNILAB_*` and `omnilab.toml` (the former wins).

Promises: every problem is reported at once, unknown names are named with the nearest known one, and no value that
may be secret is ever quoted. Must not know: any house, the database, the command line.
"""

from omnilab.settings.reading import load_settings
from omnilab.settings.tree import Settings, SettingsError

__all__ = ["Settings", "SettingsError", "load_settings"]
