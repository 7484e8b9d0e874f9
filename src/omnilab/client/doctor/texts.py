"""What the texts of the settings tell by themselves, before anything is sent. Pure; quotes no secret."""

from __future__ import annotations

import re
import zlib

from omnilab.client.doctor.findings import Finding, failed, passed, warned

SECRET_LENGTH = 58
ENVIRONMENTS = {"dev": "development", "stg": "staging", "prd": "production"}
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_QUOTES = "\"'`“”„‘’«»"
_PLACEHOLDER = re.compile(r"\$\{?\w+\}?|<[^>]*>|\{\{.*\}\}|%\w+%", re.DOTALL)
_FORM = re.compile(r"omni_(dev|stg|prd)_")
_COPY = "Copy it again, whole, from where it was put when OmniLab handed it over."


def judge_text(check: str, name: str, text: str) -> Finding | None:
    """What is wrong with how a value was put into its place; None where nothing is. Does not quote the value."""
    code, label = f"{'secret' if check == 'secret_text' else 'setting'}_", f"{name} "
    bare = text.strip()
    if _PLACEHOLDER.fullmatch(bare):
        return failed(
            check,
            code + "placeholder",
            label + "is a placeholder that nothing has filled in.",
            f"Put the real value there, or let the shell or template that reads {name} replace it.",
        )
    if bare[:1] in _QUOTES or bare[-1:] in _QUOTES:
        return failed(
            check,
            code + "quoted",
            label + "has quotes around it, and they are sent as a part of it.",
            "Take the quotes away: many tools that read env files (docker --env-file, systemd) keep them.",
        )
    odd = next((char for char in bare if not "!" <= char <= "~"), None)
    if odd is not None:
        return failed(
            check,
            code + "broken",
            label + f"has {_named(odd)} inside.",
            f"{_COPY} A line break or blank inside comes from a wrapped line or two values in one place.",
        )
    if bare != text:
        return warned(
            check,
            code + "blanks",
            label + "has blanks or a line break around it. This SDK takes them away; other programs send them.",
            "Store it without them: `printf %s`, not `echo`, writes no line break.",
        )
    return None


def judge_secret(name: str, text: str) -> Finding:
    """Whether the secret arrived as it was handed over: by its form, length and checksum."""
    check, bare = "secret_text", text.strip()
    placed = judge_text(check, name, text)
    if placed is not None and placed.status == "fail":
        return placed
    if not bare.startswith("omni_"):
        return _of_another_form(name, bare)
    if len(bare) < SECRET_LENGTH:
        found = f"{name} is cut off: {len(bare)} of {SECRET_LENGTH} characters are there."
        return failed(check, "secret_cut_off", found, f"{_COPY} Look at length limits of the field that stores it.")
    if len(bare) > SECRET_LENGTH:
        found = f"{name} is too long: {len(bare)} characters instead of {SECRET_LENGTH}; something was added to it."
        return failed(check, "secret_mistyped", found, _COPY)
    if not _FORM.match(bare) or _checksum(bare[:-6]) != bare[-6:]:
        found = f"{name} is mistyped: its checksum does not fit its text."
        return failed(check, "secret_mistyped", found, f"{_COPY} Never type it by hand.")
    return placed or passed(check, f"{name} is whole: {SECRET_LENGTH} characters, checksum right, {environment(bare)}")


def environment(secret: str) -> str:
    """The environment that the text of a secret names, "" where it names none."""
    found = _FORM.match(secret)
    return ENVIRONMENTS[found[1]] if found else ""


def _of_another_form(name: str, secret: str) -> Finding:
    if secret.startswith("cli_"):
        found = f"{name} holds a client id."
        return failed("secret_text", "secret_is_client_id", found, "Put the client secret there; it begins with omni_.")
    if secret.startswith("eyJ"):
        found = f"{name} holds an access token."
        return failed("secret_text", "secret_is_token", found, "Put the client secret there; the SDK gets the tokens.")
    return warned(
        "secret_text",
        "secret_legacy",
        f"{name} does not begin with omni_. Only secrets brought along from an earlier system look so.",
        "If it is none of those, it is not the client secret; ask OmniLab for a new one.",
    )


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        digits = _ALPHABET[rest] + digits
    return digits


def _named(char: str) -> str:
    names = {" ": "a blank", "\n": "a line break", "\r": "a line break", "\t": "a tab", "\u00a0": "a no-break space"}
    return names.get(char, f"a character that is never part of it (U+{ord(char):04X})")
