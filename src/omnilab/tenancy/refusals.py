"""Why a provisioning command is refused: the closed list of codes and their words.

What an operator typed is quoted masked: it may be a secret in the wrong place.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import TypeVar

from omnilab.errors import ProvisioningError
from omnilab.telemetry.redaction import looks_like_credential, mask
from omnilab.tenancy.model.rules import RuleError

T = TypeVar("T")

# Codes that start with a rule (`…_invalid`) come from `model/rules.py` and `model/moments.py`.
CODES = frozenset(
    {
        "address_invalid", "algorithm_invalid", "audience_exists", "audience_invalid", "audience_reserved",
        "audience_unknown", "client_exists", "client_id_invalid", "client_id_taken", "client_secret_invalid",
        "client_unknown", "duration_invalid", "endpoint_invalid", "endpoint_not_entitled", "endpoint_not_in_audience",
        "endpoint_taken", "endpoint_unknown", "file_unreadable", "label_invalid", "legacy_expired", "lifetime_invalid",
        "name_invalid", "nothing_to_change", "partner_client_exists", "partner_invalid", "partner_unknown",
        "confirmation_missing",
        "quota_invalid", "reason_invalid", "row_unreadable", "secret_lifetime_too_long", "secret_unknown",
        "technical_contact_invalid", "tenant_exists", "tenant_key_invalid", "tenant_unknown", "time_invalid",
        "value_looks_like_credential",
    }
)  # fmt: skip


def checked(what: str, rule: Callable[[str], T], text: str) -> T:
    """The value a rule makes of a text. Raises ProvisioningError; a text that looks like a credential is not quoted."""
    if looks_like_credential(text):
        raise ProvisioningError(
            "value_looks_like_credential",
            f"The {what} given looks like a secret or a token. It was not kept; give a {what} that is no credential.",
        )
    return ruled(rule, text)


def ruled(rule: Callable[[str], T], text: str) -> T:
    """The same for a text that may be a credential. Raises ProvisioningError."""
    try:
        return rule(text)
    except RuleError as error:
        raise ProvisioningError(error.code, error.detail) from None


def nearest(text: str, known: Iterable[str]) -> str:
    """` Did you mean x?` where something known is near, else nothing."""
    found = difflib.get_close_matches(text, sorted(known), n=1)
    return f" Did you mean {found[0]}?" if found else ""


def tenant_unknown(key: str) -> ProvisioningError:
    return ProvisioningError(
        "tenant_unknown", f"There is no tenant {mask(key)}. `omnilab tenants list` shows all of them."
    )


def tenant_exists(key: str) -> ProvisioningError:
    return ProvisioningError("tenant_exists", f"The tenant key {key} is taken, or was once: keys are never used again.")


def client_unknown(client_id: str) -> ProvisioningError:
    return ProvisioningError(
        "client_unknown", f"There is no client {mask(client_id)}. `omnilab clients list --tenant KEY` shows a tenant's."
    )


def secret_unknown(client_id: str, secret_id: str) -> ProvisioningError:
    return ProvisioningError(
        "secret_unknown",
        f"The client {client_id} has no secret {mask(secret_id)}. `omnilab secrets list {client_id}` shows them.",
    )


def audience_unknown(tenant: str, uri: str, known: Iterable[str]) -> ProvisioningError:
    names = list(known)
    return ProvisioningError(
        "audience_unknown",
        f"The tenant {tenant} has no audience {mask(uri)}. It has: {', '.join(names)}.{nearest(uri, names)}",
    )


def endpoint_unknown(tenant: str, endpoint: str, known: Iterable[str]) -> ProvisioningError:
    names = sorted(known)
    return ProvisioningError(
        "endpoint_unknown",
        f"No audience of the tenant {tenant} has the endpoint {endpoint}; there are {', '.join(names)}."
        f"{nearest(endpoint, names)}"
        f" `omnilab audiences create|update --tenant {tenant} … --endpoint {endpoint}` adds it.",
    )


def endpoint_not_in_audience(endpoint: str, audience: str) -> ProvisioningError:
    return ProvisioningError(
        "endpoint_not_in_audience",
        f"The endpoint {endpoint} belongs to the audience {audience}, which this client may not ask tokens for."
        f" Give the client that audience too (--audience {audience}).",
    )


def endpoint_not_entitled(tenant: str, endpoint: str) -> ProvisioningError:
    return ProvisioningError(
        "endpoint_not_entitled",
        f"The tenant {tenant} is not entitled to {endpoint}, so no client of it can be granted that."
        f" `omnilab entitlements allow {tenant} {endpoint}` entitles it.",
    )
