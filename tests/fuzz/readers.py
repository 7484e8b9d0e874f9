"""The four readers that strangers reach first, each with what has to hold for any input whatever.

An input is refused by an error of the documented kind, which does not repeat a credential, or it is understood as an
independent reader understands it. Anything else raises.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote_plus, unquote, unquote_plus, urlencode

from omnilab.errors import OmniLabError, RequestError
from omnilab.guard import Guard, InvalidTokenError
from omnilab.tokens.routes.authorization import find_presented
from omnilab.tokens.routes.body import FORM, JSON, NAMES, TokenParameters, read_parameters
from tests.guard.minting import AUDIENCE, ISSUER, JWKS, NOW, token
from tests.quotas.fakes import finish

SECRET = "omni_dev_Zq3vT8kLw2Xy7Rb5Nc9Md4Fg6Hj1Ps0Ua"
_USUAL = {
    "client_id": "cli_7JIO5QtTisNXkhVcyQtzc2",
    "client_secret": SECRET,
    "audience": AUDIENCE,
    "grant_type": "client_credentials",
}
_DECODERS: tuple[Callable[[str], str], ...] = (str, unquote, unquote_plus)
_NOBODY = TokenParameters("client_credentials", "", "", "aud")


class Reader(NamedTuple):
    """corpus: right inputs. hold: whether an input was understood; raises where something does not hold."""

    name: str
    corpus: list[bytes]
    hold: Callable[[bytes], bool]


def _quiet(error: OmniLabError | InvalidTokenError, secret: str) -> None:
    told = f"{error} {error.detail} {error.reason} {error.expected} {error.found}"
    assert secret not in told, "a refusal repeats a credential"


def _hold_basic(header: bytes) -> bool:
    try:
        found = find_presented(header, _NOBODY)
    except OmniLabError as error:
        _quiet(error, SECRET)
        return False
    raw = base64.b64decode(header[6:].strip(b" \t"), validate=True)
    readings = set()
    for encoding in ("utf-8", "latin-1"):
        user, colon, password = raw.decode(encoding, "replace").partition(":")
        assert colon, "a pair without a colon"
        for one, other in itertools.product(_DECODERS, repeat=2):
            readings.add((one(user), other(password)))
    for each in found:
        assert (each.client_id, each.secret.reveal()) in readings, "a credential that was not sent"
    return True


def _understood(body: bytes, kind: str) -> dict[str, str] | None:
    """What the body says by our reader, None where it is refused."""
    try:
        read = read_parameters(body, kind)
    except RequestError as error:
        _quiet(error, SECRET)
        return None
    return {name: getattr(read, name) for name in NAMES if getattr(read, name)}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), "a name twice"
    return dict(pairs)


def _hold_form(body: bytes) -> bool:
    found = _understood(body, FORM)
    if found is None:
        return False
    sent = _once(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    assert found == {name: sent[name] for name in NAMES if sent.get(name)}
    return True


def _hold_json(body: bytes) -> bool:
    found = _understood(body, JSON)
    if found is None:
        return False
    sent = json.loads(body, object_pairs_hook=_once)
    assert found == {name: sent[name] for name in NAMES if sent.get(name)}
    return True


_RIGHT = [token().encode(), token(scope="bookings:read").encode()]


def _hold_token(text: bytes) -> bool:
    guard = Guard(issuer=ISSUER, audience=AUDIENCE, jwks=JWKS, now=lambda: float(NOW))
    try:
        finish(guard.verify(text.decode("latin-1")))
    except InvalidTokenError as error:
        _quiet(error, text.decode("latin-1")[-40:] if len(text) > 80 else SECRET)
        return False
    assert text in _RIGHT, "a token that nobody signed"
    return True


def _basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


READERS = [
    Reader(
        "Basic header",
        [
            _basic(_USUAL["client_id"], SECRET),
            _basic(quote_plus("an id/1"), quote_plus("p+w%:x ä")),
            _basic("cli_1", "a:b:c"),
        ],
        _hold_basic,
    ),
    Reader("form", [urlencode(_USUAL).encode(), urlencode(_USUAL | {"scope": "a b", "x": "ä"}).encode()], _hold_form),
    Reader("JSON", [json.dumps(_USUAL).encode(), json.dumps(_USUAL | {"n": [1, {"a": None}]}).encode()], _hold_json),
    Reader("token", _RIGHT, _hold_token),
]
