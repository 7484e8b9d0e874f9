"""What to do about each refusal of the platform, and which check it fails."""

from __future__ import annotations

from typing import NamedTuple

from omnilab.client.codes import NO_ANSWER, UNREADABLE
from omnilab.client.errors import Trouble


class Remedy(NamedTuple):
    """The check that fails with a code, and what to do."""

    check: str
    fix: str


_ASK = "Ask OmniLab, with the request id."
_NEW_SECRET = (
    "Ask OmniLab for a new secret of this client, put it in place of the old one, then have the old one removed."
)

#: Refusals that have a cause of their own; any other is the token's, in the platform's words.
REMEDIES: dict[str, Remedy] = {
    "host_unknown": Remedy(
        "platform",
        "Use the base_url handed over. Behind a reverse proxy of yours: proxy_set_header Host $host.",
    ),
    "client_authentication_failed": Remedy(
        "token",
        "Compare client_id with the one handed over with this secret: they belong together, to this environment and to "
        "this host. If both are right, the secret is an older one; ask OmniLab for a new one.",
    ),
    "secret_mistyped": Remedy("secret_text", "Copy the secret again, whole."),
    "secret_cut_off": Remedy("secret_text", "Copy the secret again, whole."),
    "secret_wrong_environment": Remedy(
        "environment",
        "Use the base_url of the secret's own environment, or the credentials of this one. Nothing crosses.",
    ),
    "secret_expired": Remedy("token", _NEW_SECRET),
    "secret_revoked": Remedy("token", _NEW_SECRET),
    "client_disabled": Remedy("token", f"OmniLab has disabled this client. {_ASK} Its secret is right."),
    "tenant_suspended": Remedy("token", f"The customer account is suspended. {_ASK} The credentials are right."),
    "address_not_allowed": Remedy(
        "token", "Call from an agreed address, or ask OmniLab to add this one. A new NAT gateway is the usual cause."
    ),
    "tenant_host_mismatch": Remedy("platform", "Set base_url to the host that the words name. The secret is right."),
    "audience_unknown": Remedy(
        "audience",
        "Compare the audience with the one handed over, letter by letter, the slash at its end too. "
        "Client and secret are right.",
    ),
    "audience_mismatch": Remedy("audience", "Set the audience to the Booking API's: the first one handed over."),
    "tenant_mismatch": Remedy("platform", "Set base_url to the one handed over with these credentials."),
    "client_not_allowed_grant": Remedy("token", _ASK),
    "endpoint_not_enabled": Remedy("endpoints", "Ask OmniLab to enable the endpoint for this client."),
    "token_predates_grant": Remedy("endpoints", "A new token has it. The SDK gets one by itself."),
    "token_quota_exceeded": Remedy(
        "quota",
        "Something asks for a token a call. Keep one client for the whole program, share a token_cache among its "
        "processes, and wait for the time in Retry-After.",
    ),
    "quota_exceeded": Remedy("quota", "Wait for the time in Retry-After; spread bulk work, or ask for a higher quota."),
    "too_many_failed_authentications": Remedy(
        "token",
        "These credentials are wrong, and were tried so often that they are not looked at for a minute. Stop the "
        "program that tries them, then run this again to learn what is wrong.",
    ),
    "browser_request": Remedy("token", "Something on the way adds browser headers (Origin). Take it out."),
    "temporarily_unavailable": Remedy("token", "Nothing is wrong here. Try again in a moment."),
    NO_ANSWER: Remedy("token", "Run this again. If it stays, ask whoever runs what stands between."),
    UNREADABLE: Remedy(
        "token",
        "Something between answers token requests in the platform's place: a firewall that inspects bodies, or a "
        "gateway without this path. Let POST /v1/oauth:token pass.",
    ),
}


def remedy_of(trouble: Trouble) -> Remedy:
    """By its code; what has none is told in the platform's own words."""
    return REMEDIES.get(trouble.code, Remedy("token", "The words say what to fix."))
