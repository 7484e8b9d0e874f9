"""One recorded act, done again by the verb that did it first. Each can be repeated without harm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from omnilab.audit.model import Actor, AuditRecord
from omnilab.bookings.service import ErasureOrder
from omnilab.bookings.service.recancelling import cancel_again
from omnilab.installation import Installation
from omnilab.tenancy.model.orders import AudienceChange, ClientChange, TenantChange
from omnilab.tenancy.model.rules import MAX_LIFETIME_SECONDS
from omnilab.tenancy.service.means import Touched
from omnilab.tokens.service.ending import end_token

_SLACK_MS = 60_000


class Replay:
    """Does acts again. Raises ProvisioningError where what they were about is not there."""

    def __init__(self, installed: Installation, actor: Actor) -> None:
        self._installed = installed
        self._actor = actor
        self._keys_moved = False
        self._verbs: dict[str, Callable[[AuditRecord], Awaitable[object]]] = {
            "secrets:revoke": self._revoke_secret,
            "secrets:expose": self._expose,
            "secrets:clear-exposed": self._clear_exposed,
            "clients:disable": lambda event: self._clients.disable(str(event.client_id), actor=actor),
            "clients:enable": lambda event: self._clients.enable(str(event.client_id), actor=actor),
            "clients:update": self._update_client,
            "tenants:suspend": lambda event: self._tenants.suspend(str(event.tenant), actor=actor),
            "tenants:restore": lambda event: self._tenants.restore(str(event.tenant), actor=actor),
            "tenants:delete": self._delete_tenant,
            "tenants:erase": self._delete_tenant,
            "tenants:update": self._update_tenant,
            "grants:withdraw": lambda event: self._tenancy.grants.withdraw(*_granted(event), actor=actor),
            "grants:allow": lambda event: self._tenancy.grants.allow(*_granted(event), actor=actor),
            "entitlements:withdraw": lambda event: self._tenancy.entitlements.withdraw(*_entitled(event), actor=actor),
            "entitlements:allow": lambda event: self._tenancy.entitlements.allow(*_entitled(event), actor=actor),
            "audiences:update": self._update_audience,
            "keys:revoke-old": self._revoke_keys,
            "oauth:revoke": self._end_token,
            "hand-offs:open": lambda event: self._tenancy.hand_offs.end(_text(event, "hand_off_id")),
            "bookings:cancel": self._cancel,
            "contacts:erase": self._erase,
        }
        self._tenancy = installed.tenancy
        self._clients = installed.tenancy.clients
        self._tenants = installed.tenancy.tenants

    async def take(self, event: AuditRecord) -> None:
        """Do again what this record says was done."""
        await self._verbs[event.endpoint](event)

    async def _revoke_secret(self, event: AuditRecord) -> None:
        await self._tenancy.secrets.revoke(str(event.client_id), str(event.secret_id), actor=self._actor)

    async def _expose(self, event: AuditRecord) -> None:
        whose = Touched(event.tenant_id, str(event.tenant), event.client_id, event.secret_id)
        await self._tenancy.secrets.mark_exposed(whose)

    async def _clear_exposed(self, event: AuditRecord) -> None:
        client_id, secret_id, reason = str(event.client_id), str(event.secret_id), _text(event, "reason")
        await self._tenancy.secrets.clear_exposed(client_id, secret_id, reason=reason, actor=self._actor)

    async def _update_client(self, event: AuditRecord) -> None:
        change = ClientChange(
            audiences=_list(event, "audiences"),
            token_quota=_optional(event, "token_quota"),
            api_quota=_optional(event, "api_quota"),
            token_addresses=_list(event, "token_addresses"),
            api_addresses=_list(event, "api_addresses"),
        )
        if change != ClientChange():
            await self._clients.update(str(event.client_id), change, actor=self._actor)

    async def _update_tenant(self, event: AuditRecord) -> None:
        quotas = (_optional(event, "token_quota"), _optional(event, "api_quota"))
        if quotas != (None, None):
            change = TenantChange(token_quota=quotas[0], api_quota=quotas[1])
            await self._tenants.update(str(event.tenant), change, actor=self._actor)

    async def _delete_tenant(self, event: AuditRecord) -> None:
        await self._tenancy.deletion.delete(str(event.tenant), confirmed=True, actor=self._actor)

    async def _update_audience(self, event: AuditRecord) -> None:
        change = AudienceChange(
            algorithm=_text(event, "algorithm"),
            lifetime_seconds=int(event.details["lifetime_seconds"]),
            endpoints=_list(event, "endpoints") or (),
        )
        await self._tenancy.audiences.update(str(event.tenant), _text(event, "audience"), change, actor=self._actor)

    async def _revoke_keys(self, _: AuditRecord) -> None:
        """Once, however often it was done: all keys of the backup are older."""
        if not self._keys_moved:
            await self._installed.keys.rotate(actor=self._actor, at_once=True, revoke_old=True)
            self._keys_moved = True

    async def _end_token(self, event: AuditRecord) -> None:
        if "token_id" in event.details:
            expires_at = event.occurred_at + MAX_LIFETIME_SECONDS * 1000 + _SLACK_MS
            whose = (event.tenant_id, str(event.client_id))
            await end_token(self._installed.db, whose, _text(event, "token_id"), expires_at, now_ms=event.occurred_at)

    async def _cancel(self, event: AuditRecord) -> None:
        if "replayed" in event.details:
            return
        installed = self._installed
        record = AuditRecord(
            request_id=installed.ids(),
            occurred_at=installed.clock.now_ms(),
            tenant_id=event.tenant_id,
            endpoint=event.endpoint,
            outcome="granted",
            tenant=event.tenant,
            details={**event.details, "first_cancelled_by": event.request_id},
            actor=self._actor,
        )
        await cancel_again(installed.db, installed.audit, event, record=record)

    async def _erase(self, event: AuditRecord) -> None:
        tenant_id, key = await self._tenancy.contact_key(str(event.tenant))
        erasure = self._installed.erasure
        for external_id in await erasure.find_marked(tenant_id, key, _text(event, "contact")):
            order = ErasureOrder(
                tenant_id=tenant_id, tenant=str(event.tenant), contact_key=key, external_id=external_id
            )
            await erasure.erase(order, actor=self._actor)


def _text(event: AuditRecord, name: str) -> str:
    return str(event.details[name])


def _optional(event: AuditRecord, name: str) -> str | None:
    return None if name not in event.details else str(event.details[name])


def _list(event: AuditRecord, name: str) -> tuple[str, ...] | None:
    return None if name not in event.details else tuple(str(event.details[name]).split())


def _granted(event: AuditRecord) -> tuple[str, list[str]]:
    return str(event.client_id), _text(event, "endpoints").split()


def _entitled(event: AuditRecord) -> tuple[str, list[str]]:
    return str(event.tenant), _text(event, "endpoints").split()
