"""The master key of a development installation, kept in a file; elsewhere the operator brings one."""

from __future__ import annotations

import os
from pathlib import Path

from omnilab.crypto.sealing import new_master_key_text
from omnilab.crypto.secret import Secret

FILE_NAME = "master.key"


def make_master_key_file(path: Path) -> Secret:
    """Make a master key in a file of mode 0600, or read the one that another process made first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(new_master_key_text() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A hard link appears whole or not at all, and never over an existing key.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return Secret(path.read_text("ascii").strip())
