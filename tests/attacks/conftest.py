"""The attacks are played on copies of the installation that the tests of tokens make once."""

from __future__ import annotations

from tests.tokens.conftest import folder, made_once

__all__ = ["folder", "made_once"]
