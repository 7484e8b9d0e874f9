"""Where `omnilab` begins: at once with serving, where that is plainly asked for, else with the command line.

The command line costs a third of a second that the process it becomes throws away. What is not plain, a mistake among
it, is the command line's to explain.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Sequence

_VALUES = {
    "--host": re.compile(r"[0-9A-Za-z.:][0-9A-Za-z.:-]*"),
    "--port": re.compile(r"[0-9]{1,4}|[1-5][0-9]{4}"),  # up to 59999; the command line knows the others
    "--workers": re.compile(r"[1-9]|[1-5][0-9]"),
}


def plain_serve(words: Sequence[str]) -> bool:
    """Whether these words are `serve` with options that need no explanation."""
    rest = list(words[1:])
    while rest:
        option = rest.pop(0)
        if option == "--json":
            continue
        if option not in _VALUES or not rest or not _VALUES[option].fullmatch(rest.pop(0)):
            return False
    return list(words[:1]) == ["serve"]


def main() -> None:
    """Run what the arguments say, and exit with its code."""
    # Loading makes objects that stay: looking for garbage in them after each 700 new ones took a sixth of the time.
    gc.set_threshold(20_000)
    if plain_serve(sys.argv[1:]):
        from omnilab.serving.parent import main as serve

        del sys.argv[1]
        sys.exit(serve())
    try:
        from omnilab.cli.main import main as command_line
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit("The commands are not installed: pip install 'omnilab[cli]' for token, api and doctor.")
    command_line()
