"""Where the settings come from, as they stand there: the SDK itself sees them trimmed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from omnilab.client.doctor.findings import Finding, failed, passed
from omnilab.client.doctor.texts import environment, judge_secret, judge_text
from omnilab.client.errors import ConfigurationError
from omnilab.client.settings import Options, Settings, read_settings

_NAMES = ("client_id", "audience", "base_url")


class Given(NamedTuple):
    """The settings, None where they cannot be used; what was found about them; which environment the secret names."""

    settings: Settings | None
    findings: list[Finding]
    environment: str


def read_place(options: Options, environ: Mapping[str, str]) -> Given:
    """Look at every setting. A secret that cannot be right is not used: the rest of the way is examined without."""
    usable: Options = {**options, "environ": environ}
    name, secret, unreadable = _raw_secret(options, environ)
    named = environment(secret.strip())
    findings = [unreadable] if unreadable is not None else []
    if secret.strip():
        findings.append(judge_secret(name, secret))
    if findings and findings[0].status == "fail":
        usable.pop("client_secret_file", None)
        usable["client_secret"] = "unusable"
    bad = _bad_text(options, environ)
    if bad is not None and bad.status == "fail":
        is_swapped = bad.code == "client_id_is_secret"  # what the secret's place holds then follows from it
        return Given(None, [bad] if is_swapped else [bad, *findings], named)
    try:
        settings = read_settings(usable)
    except ConfigurationError as error:
        code = "settings_missing" if error.missing else "settings_unusable"
        fix = "Set them to the values handed over by OmniLab." if error.missing else "Correct the setting it names."
        return Given(None, [failed("settings", code, error.detail, fix), *findings], named)
    found = f"client {shown(settings.client_id)}, audience {shown(settings.audience)}, at {settings.base_url}"
    return Given(settings, [bad or passed("settings", found), *findings], named)


def shown(text: str) -> str:
    """A setting's text, unless somebody put a secret or a password into it."""
    return "…" if "omni_" in text or "@" in text else text


def raw(name: str, options: Options, environ: Mapping[str, str]) -> str:
    """A setting as it stands in its place, untrimmed."""
    given = options.get(name)
    return str(given) if given else environ.get(f"OMNILAB_{name.upper()}", "")


def _raw_secret(options: Options, environ: Mapping[str, str]) -> tuple[str, str, Finding | None]:
    """Name and text of the secret; a finding where its file cannot be read."""
    if options.get("client_secret"):
        return "client_secret", str(options["client_secret"]), None
    path = raw("client_secret_file", options, environ).strip()
    if not path or (not options.get("client_secret_file") and environ.get("OMNILAB_CLIENT_SECRET", "").strip()):
        return "OMNILAB_CLIENT_SECRET", environ.get("OMNILAB_CLIENT_SECRET", ""), None
    try:
        return f"the file {path}", Path(path).read_bytes()[:4097].decode("utf-8", "replace"), None
    except OSError as error:
        found = f"The file of the secret, {path}, cannot be read ({os.strerror(error.errno or 0)})."
        fix = "Correct the path, or let the user who runs the program read the file."
        return path, "", failed("secret_text", "secret_file_unreadable", found, fix)


def _bad_text(options: Options, environ: Mapping[str, str]) -> Finding | None:
    found = [judge_text("settings", name, text) for name in _NAMES if (text := raw(name, options, environ))]
    found = [each for each in found if each is not None]
    client_id = raw("client_id", options, environ)
    if shown(client_id) != client_id:
        words = "client_id holds a client secret."
        fix = "Put the client id (cli_…) there. If the secret was logged or sent as an id, have it replaced."
        return failed("settings", "client_id_is_secret", words, fix)
    return next((each for each in found if each is not None and each.status == "fail"), found[0] if found else None)
