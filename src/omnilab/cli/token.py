"""`omnilab token`: an access token for the integrator's own credentials, ready for a header or explained."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from omnilab.cli.integrator import AllowHttp, Audience, BaseUrl, ClientId, Place, SecretFile, calling
from omnilab.cli.output import JsonFlag, emit, table

app = typer.Typer()

_MEANINGS = {
    "typ": "The form of the token: an access token by RFC 9068.",
    "alg": "How it is signed.",
    "kid": "Which of the issuer's keys signed it; all are at /.well-known/jwks.json.",
    "iss": "Who issued it: one environment of OmniLab.",
    "sub": "Whom it stands for: the client itself.",
    "client_id": "The client that asked for it.",
    "aud": "The API it is for. Another API refuses it (audience_mismatch).",
    "iat": "When it was issued.",
    "exp": "When it ends. A client renews it before.",
    "jti": "Its own id: the id of the request that brought it, for questions to OmniLab.",
    "scope": "The endpoints it carries. What is granted later needs a new token.",
    "tenant": "The customer account it belongs to.",
    "credential_id": "The secret it was got with; revoking that one ends this token at once.",
}


@app.command("token")
def token(
    inspect: Annotated[bool, typer.Option("--inspect", help="Explain its claims instead of showing it.")] = False,
    client_id: ClientId = None,
    secret_file: SecretFile = None,
    audience: Audience = None,
    base_url: BaseUrl = None,
    allow_http: AllowHttp = False,
    as_json: JsonFlag = False,
) -> None:
    """Get an access token with your own credentials: curl -H "$(omnilab token)" …"""
    place = Place(client_id, secret_file, audience, base_url, allow_http)
    with calling(place, as_json=as_json) as client:
        found = client.access_token()
        expires_in = int(found.lifetime_seconds)
        text = found.reveal()
    if inspect:
        emit({"expires_in": expires_in, "claims": explained(text)}, as_json=as_json, people=_show_claims)
    else:
        answer = {"access_token": text, "token_type": "Bearer", "expires_in": expires_in}
        emit(answer, as_json=as_json, people=lambda _: f"Authorization: Bearer {text}")


def explained(text: str) -> list[dict[str, Any]]:
    """Header and claims of a JWT, each with what it means; nothing is verified. Empty for a token of another form."""
    rows = []
    for part in text.split(".")[:2]:
        for name, value in _decoded(part).items():
            row = {"claim": name, "value": value, "meaning": _MEANINGS.get(name, "Not of OmniLab's contract.")}
            if name in ("iat", "exp", "nbf") and isinstance(value, int):
                row["time"] = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            rows.append(row)
    return rows


def _decoded(part: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=dict)
    except (binascii.Error, ValueError):
        return {}
    return found


def _show_claims(answer: dict[str, Any]) -> str:
    rows = [(row["claim"], row.get("time", row["value"]), row["meaning"]) for row in answer["claims"]]
    lines = table(("claim", "value", "meaning"), rows, empty="This token is no JWT; only the platform can read it.")
    return f"{lines}\nIt is good for {answer['expires_in']} seconds from its issue. Nothing was verified here."
