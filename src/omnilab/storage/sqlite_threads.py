"""SQLite without a lock around each of its calls, for processes in which every connection belongs to one thread.

Python opens its connections so that any thread may use them at any time: SQLite then takes a lock for each value of
each row. docs/adr/0023 says what that costs and why a serving process does not need it.
"""

from __future__ import annotations

import _sqlite3
import ctypes

_OK = 0
_MULTI_THREAD = 2  # SQLITE_CONFIG_MULTITHREAD: many threads, but no connection used by two of them at once


def one_thread_a_connection() -> bool:
    """From now on no connection of this process is used by two threads at once. Whether SQLite was told.

    To be called before the first connection is opened, and never where one is handed about. Where SQLite is built into
    the interpreter, or does not let itself be told, it goes on as before.
    """
    try:
        library = ctypes.CDLL(_sqlite3.__file__)  # finds SQLite among what the module is linked to: the very same one
        shut_down, configure, start = library.sqlite3_shutdown, library.sqlite3_config, library.sqlite3_initialize
    except (AttributeError, OSError):
        return False
    told = shut_down() == _OK and configure(_MULTI_THREAD) == _OK
    return bool(start() == _OK and told)
