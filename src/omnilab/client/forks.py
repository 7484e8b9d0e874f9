"""Servers that load an application and then fork: what a child must not share with its parent is put aside there.

A lock that another thread held at the moment of the fork stays held for ever in the child, and a connection that both
use mixes up their answers.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something with locks or connections."""

    def after_fork(self) -> None: ...


_remembered: weakref.WeakSet[Forkable] = weakref.WeakSet()


def remember(each: Forkable) -> None:
    """Call its `after_fork` in every child process from now on."""
    _remembered.add(each)


def _in_child() -> None:
    for each in list(_remembered):
        each.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
