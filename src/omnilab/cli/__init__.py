"""DOOR: the command line, a module per noun. Decides nothing: it calls services and shows what they answer."""

import os
import sys

# Rich draws boxes for people and costs as much as all else that a command loads: off a terminal nobody sees them.
if not sys.stdout.isatty():
    os.environ.setdefault("TYPER_USE_RICH", "0")
