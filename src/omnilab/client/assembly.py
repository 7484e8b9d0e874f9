"""Puts the parts of one client together. Opens nothing."""

from __future__ import annotations

from omnilab.client.calls import Caller
from omnilab.client.forks import remember
from omnilab.client.settings import Options, Settings, read_settings
from omnilab.client.token_file import TokenFile
from omnilab.client.token_holder import TokenHolder
from omnilab.client.token_source import TokenSource


def assemble(options: Options) -> tuple[Settings, Caller]:
    """Settings and caller of one client. Raises ConfigurationError."""
    settings = read_settings(options)
    file = TokenFile(settings.token_cache, settings) if settings.token_cache is not None else None
    holder = TokenHolder(settings, TokenSource(settings, file))
    remember(holder)
    return settings, Caller(settings, holder)
