"""Issuing an access token: proof, standing, quota, right, signature, record; in this order, and nothing skipped.

No token leaves before its audit record is durable. To a stranger an unknown client
and a wrong secret are the same words after the same work. Must not know how a request came in or how it is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, Protocol

import msgspec

from omnilab.audit.model import decode, escaped
from omnilab.audit.service import AuditService
from omnilab.clock import Clock
from omnilab.crypto.client_secret import secret_digest
from omnilab.errors import LimitError, OmniLabError, Subject, TokenRefusedError
from omnilab.quotas.service import QuotaService
from omnilab.tenancy.model.expiry import TOLD_BEFORE_MS
from omnilab.tenancy.model.moments import rfc3339
from omnilab.tenancy.service.means import Touched
from omnilab.tenancy.snapshot import ClientEntry, SecretEntry, Snapshot
from omnilab.tokens.model.claims import last_claims, timed_claims
from omnilab.tokens.model.decision import decide_right, decide_standing
from omnilab.tokens.model.request import TokenRequest
from omnilab.tokens.model.secret_text import check_secret_text
from omnilab.tokens.service.keyring import Keyring
from omnilab.tokens.service.signing import SigningTurn, UnsignedToken
from omnilab.tokens.service.template import TokenTemplate, TokenTemplates

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who issues: what goes into every token, and what turns a secret into its stored form."""

    environment: str
    issuer: str
    pepper: bytes
    token_url_of: Callable[[str], str]
    """tenant key → where that tenant's clients get their tokens"""

    def __repr__(self) -> str:
        return f"Issuer(environment={self.environment!r}, issuer={self.issuer!r})"


class SecretUses(Protocol):
    """What is counted with every token, in memory; `tenancy` writes the sums every other second."""

    def used(self, tenant_id: str, secret_id: str, at_ms: int, address: str) -> None: ...


class Tripwire(Protocol):
    """What happens to a secret that was seen in a browser (`tenancy.secrets`)."""

    async def mark_exposed(self, touched: Touched, *, request_id: str) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The services that issuing stands on."""

    snapshot: Snapshot
    quotas: QuotaService
    audit: AuditService
    uses: SecretUses
    tripwire: Tripwire
    keyring: Keyring
    clock: Clock


class IssuedToken(NamedTuple):
    """The JSON of the answer (RFC 6749 §5.1), and whose it is."""

    answer: bytes
    subject: Subject


class TokenService:
    """Issues tokens from the snapshot in memory; its only wait is the group commit."""

    def __init__(self, issuer: Issuer, parts: Parts) -> None:
        self._issuer = issuer
        self._snapshot = parts.snapshot
        self._quotas = parts.quotas
        self._audit = parts.audit
        self._uses = parts.uses
        self._tripwire = parts.tripwire
        self._keyring = parts.keyring
        self._clock = parts.clock
        self._signing = SigningTurn()
        self._templates = TokenTemplates(issuer.issuer)
        # `iat`, `exp` and their encoding are the same for all tokens of one second and lifetime.
        self._second = 0
        self._times: dict[int, bytes] = {}

    async def issue(self, request: TokenRequest, answer_headers: list[Header]) -> IssuedToken:
        """A token, once its record is durable.

        What the quota says goes to `answer_headers`, for refusals after it too. Raises TokenRefusedError, LimitError
        or UnavailableError; `subject` is set once the secret has proved right.
        """
        digests = self._digests(request)
        client, secret = self._known(request, digests) or await self._authenticate(request, digests)
        now_ms = self._clock.now_ms()
        try:
            decide_standing(request, client, secret, now_ms=now_ms, token_url_of=self._issuer.token_url_of)
            answer_headers.extend(await self._quotas.charge("token", client))
            template = self._template_of(request, client)
        except OmniLabError as error:
            error.subject = subject_of(client, secret)
            raise
        if secret.expires_at is not None and now_ms >= secret.expires_at - TOLD_BEFORE_MS:
            answer_headers.append((b"omnilab-secret-expires", (rfc3339(secret.expires_at) or "").encode()))
        client_id, secret_id = escaped(client.client_id), secret.secret_id
        unsigned = self._unsigned(template, now_ms // 1000, last_claims(request.request_id, client_id, secret_id))
        self._uses.used(client.tenant.tenant_id, secret_id, now_ms, request.address)
        await self._record(request, client.tenant.tenant_id, template.audit_body(request, now_ms, client_id, secret_id))
        return IssuedToken(template.answer(unsigned.sign()), subject_of(client, secret))

    async def authenticate(self, request: TokenRequest) -> tuple[ClientEntry, SecretEntry]:
        """Who asks, for the calls about a token that is there already: proof and standing as for a new one."""
        client, secret = await self._authenticate(request, self._digests(request))
        now_ms = self._clock.now_ms()
        try:
            decide_standing(request, client, secret, now_ms=now_ms, token_url_of=self._issuer.token_url_of)
        except OmniLabError as error:
            error.subject = subject_of(client, secret)
            raise
        self._uses.used(client.tenant.tenant_id, secret.secret_id, now_ms, request.address)
        return client, secret

    async def refuse_browser(self, request: TokenRequest) -> NoReturn:
        """Refuse a request that a browser sent; a right secret in it counts as exposed from now on."""
        refusal = TokenRefusedError(
            "browser_request",
            "The request came from a browser (Origin or Sec-Fetch-Site): a client secret must never be in one. "
            "Ask for tokens from your backend and have the secret replaced.",
            check="browser",
            expected="a backend: neither Origin nor Sec-Fetch-Site",
            found="a browser's header",
        )
        found = await self._find(self._digests(request))
        if found is not None:
            client, secret = found
            refusal.subject = subject_of(client, secret)
            if secret.exposed_at is None:
                await self._tripwire.mark_exposed(_touched(client, secret), request_id=request.request_id)
        raise refusal

    def _digests(self, request: TokenRequest) -> list[tuple[str, bytes]]:
        """By client id, of each reading of the credential: made whether the client exists or not."""
        pepper = self._issuer.pepper
        return [(client_id, secret_digest(pepper, client_id, text.reveal())) for client_id, text in request.presented]

    def _known(self, request: TokenRequest, digests: list[tuple[str, bytes]]) -> tuple[ClientEntry, SecretEntry] | None:
        """The usual case at once: one reading of the credential, right and in memory. None says nothing."""
        if len(digests) != 1:
            return None
        client_id, digest = digests[0]
        found = self._snapshot.known_credential(client_id, digest)
        if found is not None:
            self._quotas.authenticated(request.address_group, client_id)
        return found

    async def _authenticate(
        self, request: TokenRequest, digests: list[tuple[str, bytes]]
    ) -> tuple[ClientEntry, SecretEntry]:
        found = await self._find(digests)
        if found is None:
            await self._refuse_credential(request)
        self._quotas.authenticated(request.address_group, found[0].client_id)
        return found

    async def _find(self, digests: list[tuple[str, bytes]]) -> tuple[ClientEntry, SecretEntry] | None:
        """Whose credential it is. A digest is looked for whether its client exists or not."""
        for client_id, digest in digests:
            found = await self._snapshot.find_credential(client_id, digest)
            if found is not None:
                return found
        return None

    async def _refuse_credential(self, request: TokenRequest) -> NoReturn:
        """Say what a stranger may be told. Only a wrong secret ever meets the bound on failed authentications."""
        verdict = await self._quotas.failed_authentication(request.address_group, request.presented[0].client_id)
        if verdict.refused:
            raise _too_many_failures(verdict.retry_after_seconds)
        # Looked at only now: a secret that is right needs no look at its text.
        check_secret_text(request, self._issuer.environment)
        raise _wrong_credentials()

    def _template_of(self, request: TokenRequest, client: ClientEntry) -> TokenTemplate:
        """What is the same for every such token. It lives and dies with the tenant's entry in the snapshot, or with the
        client's where the tenant's other clients may ask for other audiences."""
        memo = client.tenant.memo if client.audiences is client.tenant.audiences else client.memo
        key = (request.audience, request.scope, request.audience_optional, client.allowed)
        template = memo.get(key)
        if isinstance(template, TokenTemplate):
            return template
        right = decide_right(request, client)
        made = self._templates.make(client.tenant, right)
        # Other spellings of one scope are not kept: a caller could fill the memory with them.
        if not right.asked or right.scope == request.scope:
            self._templates.keep(memo, key, made)
        return made

    def _unsigned(self, template: TokenTemplate, now: int, own_claims: bytes) -> UnsignedToken:
        """The token, to be signed while its record is written; `now` in seconds since 1970 UTC."""
        if now != self._second:
            self._second, self._times = now, {}
        times = self._times.get(template.lifetime_seconds)
        if times is None:
            times = self._times[template.lifetime_seconds] = timed_claims(now, template.lifetime_seconds)
        signer = self._keyring.signer(template.algorithm)
        return self._signing.add(signer, signer.header + template.claims + times + own_claims)

    def _record(self, request: TokenRequest, tenant_id: str, body: bytes) -> Awaitable[None]:
        """Done once the record is durable."""
        if request.caller_request_id is None:
            return self._audit.record_encoded(tenant_id, request.request_id, body)
        # The caller's own id is a quoted value, which has to be masked.
        return self._audit.record(msgspec.structs.replace(decode(body), caller_request_id=request.caller_request_id))


def subject_of(client: ClientEntry, secret: SecretEntry) -> Subject:
    """Whom a right secret proved the caller to be."""
    return Subject(client.tenant.tenant_id, client.tenant.tenant, client.client_id, secret.secret_id)


def _touched(client: ClientEntry, secret: SecretEntry) -> Touched:
    return Touched(client.tenant.tenant_id, client.tenant.tenant, client.client_id, secret.secret_id)


def _too_many_failures(retry_after_seconds: int) -> LimitError:
    return LimitError(
        "too_many_failed_authentications",
        "Too many failed authentications from this address; correct the credentials before the next attempt.",
        retry_after_seconds=retry_after_seconds,
        check="credential",
        expected="a known client_id with one of its secrets",
        found="a wrong one, after too many others from this address",
    )


def _wrong_credentials() -> TokenRefusedError:
    return TokenRefusedError(
        "client_authentication_failed",
        "The client_id is unknown or the client_secret is wrong; check that both belong together, "
        "to this environment and to this host.",
        check="credential",
        expected="a known client_id with one of its secrets",
        found="an unknown client_id or a wrong client_secret",
    )
