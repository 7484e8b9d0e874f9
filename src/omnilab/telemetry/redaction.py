"""What must never be written: secrets, tokens and `Authorization` values, found by name and by shape.

Promises two things. `looks_like_credential` is exact enough to refuse a request on (no false alarm on the ids
integrators use); `mask` is for quoting and logging, and would rather mask too much. Both must not know where a
text came from: they see text only.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Callable
from urllib.parse import unquote

MASK = "[masked]"

#: Names whose values are never written, whatever their shape (compared in lower case, `-` as `_`).
SECRET_NAMES = frozenset(
    {
        "access_token",
        "api_key",
        "assertion",
        "authorization",
        "client_assertion",
        "client_secret",
        "cookie",
        "id_token",
        "master_key",
        "omnilab_master_key",
        "passwd",
        "password",
        "pepper",
        "private_key",
        "proxy_authorization",
        "refresh_token",
        "secret",
        "set_cookie",
        "subject_token",
        "token",
    }
)

_UNDERSCORE = r"(?:_|%(?:25)*5f)"  # forms and Basic (RFC 6749 §2.3.1) percent-encode even `_`, some twice
_SECRET = rf"omni{_UNDERSCORE}(?:dev|stg|prd){_UNDERSCORE}[0-9a-z]{{6,}}"
_JWT = r"eyJ[0-9A-Za-z_-]{10,}(?:(?:\.|%2e)[0-9A-Za-z_=-]*)*"
_SCHEME = r"\b(bearer|basic)(?:\s|%20|\+)+[^\s,;\"'<>]{6,}"

_SECRET_SHAPE = re.compile(_SECRET, re.IGNORECASE)
# To refuse a value takes more than to mask it: a label such as "omni_stg_frontend" is no secret.
_WHOLE_SECRET = re.compile(_SECRET.replace("{6,}", "{16,}"), re.IGNORECASE)
_JWT_BEGINNING = re.compile(r"(?=(eyJ[0-9A-Za-z_-]{10,13}))")
_JSON_TEXT = re.compile(rb"[\t\n\r -~]*")
# What is masked begins where the run of its characters does: a random secret may hold "eyJ" by chance, and what stands
# before it is as secret.
_JWT_IN_A_RUN = re.compile(rf"(?<![0-9A-Za-z_-])[0-9A-Za-z_-]*{_JWT}")
_SCHEME_SHAPE = re.compile(_SCHEME, re.IGNORECASE)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_URL_PASSWORD = re.compile(r"(://[^\s:/@]*:)[^\s/@]+@")
_NAMED = re.compile(
    r"(?i)\b((?:" + "|".join(sorted(SECRET_NAMES)).replace("_", "[_-]") + r")[\"']?\s*[=:]\s*[\"']?)([^\"'&\s,;}\]]+)"
)
_RUN = re.compile(r"[0-9A-Za-z_+/=-]{20,}")
_WINDOW, _LEAST = 20, 16  # characters that are looked at together, and the fewest that tell anything
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Of longer texts no more is read for an excerpt, and the run at that end is dropped, for it may be half a credential.
_EXCERPT_READS = 4096
_LAST_RUN = re.compile(r"[0-9A-Za-z_+/=%.~-]*\Z")
# Our own ids are random too, but public: `<kind>_` and 22 characters of base62. One in twelve thousand holds "eyJ".
_OWN_ID = re.compile(r"(?:bkg|chn|cli|fbk|hof|key|sec|ten)_[0-9A-Za-z]{22}")


def _base64_marks(text: bytes) -> tuple[str, ...]:
    """The characters that `text` surely leaves in base64, at each of its three alignments."""
    marks = []
    for lead in range(3):
        encoded = base64.urlsafe_b64encode(b"\0" * lead + text).decode().rstrip("=")
        first = (lead * 8 + 5) // 6
        last = (lead + len(text)) * 8 // 6
        marks.append(encoded[first:last])
    return tuple(marks)


_SECRET_MARKS = tuple(mark for env in (b"dev", b"stg", b"prd") for mark in _base64_marks(b"omni_" + env + b"_"))
_JWT_MARKS = _base64_marks(b"eyJhbGciOi")


def looks_like_credential(text: str) -> bool:
    """Whether a value has the exact shape of a client secret, a token or an `Authorization` value, or holds one.

    Made for values used as identifiers (external ids, labels, idempotency keys): base64 of such a value counts,
    other random text does not.
    """
    if len(text) < 12:
        return False
    return _looks_so(text) or ("%" in text and _looks_so(_percent_decoded(text)))


def _looks_so(text: str) -> bool:
    if "eyJ" in text and any(_begins_json(match[1]) for match in _JWT_BEGINNING.finditer(text)):
        return not _OWN_ID.fullmatch(text)
    lowered = text.lower()
    if "omni" in lowered and _WHOLE_SECRET.search(lowered):
        return True
    if ("bearer" in lowered or "basic" in lowered) and _authorization_value(text):
        return True
    if len(text) < 48:  # no whole secret and no whole token is shorter in base64
        return False
    return any(mark in text for mark in _SECRET_MARKS) or any(mark in text for mark in _JWT_MARKS)


def mask(text: str) -> str:
    """`text` with everything that looks like a credential replaced; the rest is left as it is."""
    return _masked_through(text, _masked) if len(text) >= 8 else text


def mask_shapes(text: str) -> str:
    """As `mask`, but by shape alone: for our own sentences, where what follows the word "token:" is the next word."""
    return _masked_through(text, _masked_shapes)


def excerpt(text: str, characters: int) -> str:
    """The beginning of a text, masked. Masked first: what a cut leaves of a credential no longer looks like one."""
    if len(text) > _EXCERPT_READS:
        text = _LAST_RUN.sub("", text[:_EXCERPT_READS]) or MASK
    return mask(text)[:characters]


def _masked_through(text: str, masked_once: Callable[[str], str]) -> str:
    masked = masked_once(text)
    if "%" in masked:  # `%6F%6D%6E%69_…` is a secret too, to whoever decodes it
        plain = _percent_decoded(masked)
        if (masked_plain := masked_once(plain)) != plain:
            return _CONTROL.sub("?", masked_plain)
    return masked


def _masked(text: str) -> str:
    # Schemes come before names: of `Authorization: Bearer x` the name would take the word Bearer and leave x.
    text = _URL_PASSWORD.sub(rf"\1{MASK}@", _masked_shapes(text))
    return _NAMED.sub(rf"\1{MASK}", text)


def _masked_shapes(text: str) -> str:
    text = _PEM.sub(f"{MASK} private key", text)
    text = _SECRET_SHAPE.sub(_mask_secret, text)
    text = _JWT_IN_A_RUN.sub(lambda match: match.group() if _is_own_id(match) else MASK, text)
    text = _SCHEME_SHAPE.sub(rf"\1 {MASK}", text)
    return _RUN.sub(_mask_random_run, text)


def is_secret_name(name: str) -> bool:
    """Whether a field of this name is never written, whatever it holds."""
    return name.lower().replace("-", "_") in SECRET_NAMES


def _authorization_value(text: str) -> bool:
    """`Bearer x` and `Basic x` where x is no plain word: a label such as "Basic settings" is none."""
    return any(not match.group().split()[-1].isalpha() for match in _SCHEME_SHAPE.finditer(text))


def _percent_decoded(text: str) -> str:
    """With percent-encoding taken off; twice, for a value may have gone through two libraries."""
    return unquote(unquote(text))


def _begins_json(encoded: str) -> bool:
    """Whether `eyJ`, which is `{"`, goes on as text: of random ids that hold these three characters one in four hundred
    does at most, and ids with them are not rare (one in thirty thousand of 21 random characters)."""
    decoded = base64.urlsafe_b64decode(encoded[: len(encoded) // 4 * 4])
    return _JSON_TEXT.fullmatch(decoded) is not None


def _is_own_id(match: re.Match[str]) -> bool:
    """Whether what could be a token is an id of ours, perhaps at the end of a sentence."""
    return _OWN_ID.fullmatch(match.group().removesuffix(".")) is not None


def _mask_secret(match: re.Match[str]) -> str:
    """Keep what says which kind it was, because that explains the refusal: `omni_dev_[masked]`."""
    environment = re.split(_UNDERSCORE, match.group(), maxsplit=2, flags=re.IGNORECASE)[1]
    return f"omni_{environment.lower()}_{MASK}"


def _mask_random_run(match: re.Match[str]) -> str:
    """A run with something random in it goes as a whole: base64 has slashes too, so its parts belong together."""
    parts = [part for part in match.group().split("/") if not _OWN_ID.fullmatch(part)]
    random = any(_is_random(part, window=_WINDOW) for part in parts) or _is_random("/".join(parts))
    return MASK if random else match.group()


def _is_random(run: str, window: int = 10**6) -> bool:
    """Random base62 or base64 changes between upper, lower and digit at two of three steps; words seldom do.

    Looked at through a window, so that words before or after do not hide it.
    """
    kinds = [0 if c.isdigit() else 1 if c.isupper() else 2 for c in run if c.isalnum()]
    width = min(len(kinds), window)
    if width < _LEAST:
        return False
    changes = [0, *itertools.accumulate(before != after for before, after in itertools.pairwise(kinds))]
    return any(
        changes[first + width - 1] - changes[first] >= width // 3 and len(set(kinds[first : first + width])) == 3
        for first in range(len(kinds) - width + 1)
    )
