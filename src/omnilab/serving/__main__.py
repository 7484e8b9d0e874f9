"""`python -m omnilab.serving`: what `omnilab serve` becomes, in a process that never loaded the command line."""

from __future__ import annotations

import gc
import sys

if __name__ == "__main__":
    # Loading makes a few hundred thousand objects that all stay. Looking for garbage among them after each 700 new
    # ones, as Python does, was measured to take a sixth of the start.
    gc.set_threshold(20_000)
    from omnilab.serving.parent import main

    sys.exit(main())
