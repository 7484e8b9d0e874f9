"""From an access token to a proved `Caller`.

Promises that a token is believed only if its signature, type, issuer, audience and time hold, and, where standings
are given, if its client, tenant and credential still count at this very call. Must not know HTTP.

**A guard that has JWKS alone accepts a token until its `exp`**: it cannot see that a credential was revoked, a client
disabled, a tenant suspended or a grant withdrawn meanwhile. Give `standings` where that has to bite at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping

from omnilab.guard import claims as rules
from omnilab.guard.cache import TokenCache, VerifiedToken
from omnilab.guard.caller import Caller, Standing, Standings
from omnilab.guard.clock import wall_seconds
from omnilab.guard.compact import CompactToken, read_compact, refuse_form
from omnilab.guard.errors import InvalidTokenError
from omnilab.guard.fetched_keys import FetchedKeys
from omnilab.guard.keys import CurrentKeys, GivenKeys, Jwks, KeySource, VerificationKey


class Guard:
    """Verifies access tokens of one issuer.

    issuer: the token's `iss`, exactly. audience: this API's audience, or several; None for whatever audiences the
    standing holds. jwks_url: where the issuer's keys are (see `FetchedKeys`); or jwks: a JWK Set, a function that
    returns the one in force (the same object until it changes), or a `KeySource`. leeway_seconds: how far clocks
    may differ. standings: who knows how clients stand now. revoked_tokens: the ids (`jti`) of tokens that were revoked
    one by one, looked at after the standings at every call. cache_size: how many verified tokens are kept (about
    2 KB each). now: seconds since 1970 UTC.

    Raises ValueError when these do not make a guard.
    """

    def __init__(  # noqa: PLR0913 - all by keyword, and each is a decision of whoever protects an API
        self,
        *,
        issuer: str,
        audience: str | Collection[str] | None,
        jwks_url: str | None = None,
        jwks: Jwks | Callable[[], Jwks] | KeySource | None = None,
        leeway_seconds: float = 5,
        standings: Standings | None = None,
        revoked_tokens: Container[str] = frozenset(),
        cache_size: int = 10_000,
        now: Callable[[], float] = wall_seconds,
    ) -> None:
        if not issuer:
            raise ValueError("issuer must be given: the URL that stands in the tokens' iss")
        if audience is None and standings is None:
            raise ValueError("audience must be given unless standings know the audiences")
        if audience is not None and not audience:
            raise ValueError("audience must not be empty")
        self.issuer = issuer
        self._audiences = frozenset([audience] if isinstance(audience, str) else audience or ())
        self._keys = _key_source(jwks_url, jwks)
        self._leeway = leeway_seconds
        self._standings = standings
        self._revoked_tokens = revoked_tokens
        self._cache = TokenCache(cache_size)
        self._now = now

    async def verify(self, token: str, *, tenant: str | None = None) -> Caller:
        """Prove a token.

        tenant: the tenant key that the call is addressed to, where the host names one.

        Raises InvalidTokenError with the codes `token_malformed`, `token_expired`, `token_revoked`,
        `audience_mismatch`, `tenant_mismatch`, `client_disabled` or `tenant_suspended`, KeysUnavailableError when
        the issuer's keys cannot be had, and whatever the standings raise when they cannot know.
        """
        self._keys.poll()
        now = self._now()
        entry = self._cache.get(token)
        if entry is None or not entry.key.live:
            entry = await self._verify_new(token, now)
        elif now >= entry.expires_at + self._leeway:
            self._cache.drop(token)
            raise _proved_by(rules.expired(entry.expires_at, now), entry.caller)
        caller = entry.caller
        if tenant is not None and tenant != caller.tenant:
            raise _proved_by(_tenant_mismatch(tenant, caller.tenant), caller)
        if self._standings is not None:
            caller = await self._verify_standing(self._standings, entry)
        if caller.token_id in self._revoked_tokens:
            raise _proved_by(_token_revoked(caller.token_id), caller)
        return caller

    async def prove(self, token: str) -> Caller:
        """What an unexpired token of this issuer says, however its client and credential stand now.

        Raises InvalidTokenError, and KeysUnavailableError as `verify` does.
        """
        self._keys.poll()
        return (await self._verify_new(token, self._now())).caller

    async def _verify_new(self, token: str, now: float) -> VerifiedToken:
        self._cache.drop(token)
        compact = read_compact(token)
        key = await self._prove_signature(compact)
        rules.check_type(compact.type)
        claims = rules.read_claims(compact.payload)
        rules.check_issuer(claims, self.issuer)
        try:
            audience = claims.audiences[0]
            if self._audiences:
                audience = rules.pick_audience(claims.audiences, self._audiences, " ".join(sorted(self._audiences)))
            rules.check_time(claims, now, self._leeway)
        except InvalidTokenError as error:
            error.client_id, error.credential_id = claims.client_id, claims.credential_id
            raise
        entry = VerifiedToken(_caller_of(claims, audience), key, claims.audiences)
        self._cache.put(token, entry)
        return entry

    async def _prove_signature(self, compact: CompactToken) -> VerificationKey:
        key = await self._keys.find(compact.key_id)
        if key is None:
            refuse_form(
                f"a signing key of {self.issuer}",
                "an unknown kid",
                check="token_signature",
                detail="The access token is signed by a key that is not known here; it may be another environment's.",
            )
        # The key says which algorithm it is for; the header only has to agree (RFC 8725 §3.1).
        if compact.algorithm != key.algorithm:
            refuse_form(f"alg {key.algorithm}, the key's own", f"alg {compact.algorithm}", check="token_signature")
        if not key.verifies(compact.signature, compact.signing_input):
            refuse_form("the key's signature", "another signature", check="token_signature")
        return key

    async def _verify_standing(self, standings: Standings, entry: VerifiedToken) -> Caller:
        client_id = entry.caller.client_id
        standing = await standings.find_client(client_id)
        try:
            return self._under_standing(entry, standing)
        except InvalidTokenError:
            # Another process may have issued the token on something that this one has not heard of yet.
            await standings.catch_up()
            current = await standings.find_client(client_id)
            if current is standing:
                raise
        return self._under_standing(entry, current)

    def _under_standing(self, entry: VerifiedToken, standing: Standing | None) -> Caller:
        caller = entry.caller
        if standing is None:
            raise _proved_by(_revoked("a client that exists", "none"), caller)
        if caller.standing is not standing:
            audience = caller.audience
            if not self._audiences:
                # Which of the token's audiences counts is the standing's to say.
                audience = next((each for each in entry.audiences if each in standing.audiences), audience)
            caller = entry.caller = _caller_under(caller, audience, standing)
        refusal = _refusal_by(standing, caller, any_audience=not self._audiences)
        if refusal is not None:
            raise _proved_by(refusal, caller)
        return caller


def _key_source(jwks_url: str | None, jwks: Jwks | Callable[[], Jwks] | KeySource | None) -> KeySource:
    if (jwks_url is None) == (jwks is None):
        raise ValueError("give either jwks_url or jwks")
    if jwks_url is not None:
        return FetchedKeys(jwks_url)
    if isinstance(jwks, Mapping):
        return GivenKeys(jwks)
    if callable(jwks):
        return CurrentKeys(jwks)
    assert jwks is not None
    return jwks


def _caller_of(claims: rules.Claims, audience: str) -> Caller:
    return Caller(
        client_id=claims.client_id,
        tenant=claims.tenant,
        tenant_id=None,
        audience=audience,
        scope=claims.scope,
        credential_id=claims.credential_id,
        token_id=claims.token_id,
        issued_at=claims.issued_at,
        expires_at=claims.expires_at,
    )


def _caller_under(caller: Caller, audience: str, standing: Standing) -> Caller:
    return Caller(
        client_id=caller.client_id,
        tenant=caller.tenant,
        tenant_id=standing.tenant.tenant_id,
        audience=audience,
        scope=caller.scope,
        credential_id=caller.credential_id,
        token_id=caller.token_id,
        issued_at=caller.issued_at,
        expires_at=caller.expires_at,
        standing=standing,
    )


def _refusal_by(standing: Standing, caller: Caller, *, any_audience: bool) -> InvalidTokenError | None:
    """What the live standing says against the token; asked at every call, cached signature or not."""
    tenant = standing.tenant
    if tenant.tenant != caller.tenant:
        return _tenant_mismatch(tenant.tenant, caller.tenant)
    if not tenant.active:
        return InvalidTokenError(
            "tenant_suspended",
            "The tenant is suspended; ask OmniLab to restore it.",
            check="tenant_status",
            expected="an active tenant",
            found="a suspended one",
        )
    if not standing.active:
        return InvalidTokenError(
            "client_disabled",
            "The client is disabled; ask OmniLab to enable it.",
            check="client_status",
            expected="an enabled client",
            found="a disabled one",
        )
    if not standing.has_live_secret(caller.credential_id):
        return _revoked("a credential that is not revoked", f"{caller.credential_id}, revoked")
    if any_audience and caller.audience not in standing.audiences:
        return InvalidTokenError(
            "audience_mismatch",
            "The access token is for an audience that its client no longer has; ask for one of its audiences.",
            check="token_audience",
            expected="an audience of the client",
            found=caller.audience,
        )
    return None


def _tenant_mismatch(expected: str, found: str) -> InvalidTokenError:
    return InvalidTokenError(
        "tenant_mismatch",
        "The access token belongs to another tenant than the host; use the base_url of the token's tenant.",
        check="tenant_host",
        expected=f"a token of tenant {expected}",
        found=f"one of tenant {found}",
    )


def _revoked(expected: str, found: str) -> InvalidTokenError:
    return InvalidTokenError(
        "token_revoked",
        "The credential that this access token was issued on is revoked; get a new token with a live one.",
        check="token_revocation",
        expected=expected,
        found=found,
    )


def _token_revoked(token_id: str) -> InvalidTokenError:
    return InvalidTokenError(
        "token_revoked",
        "This access token was revoked; get a new one.",
        check="token_revocation",
        expected="a token that is not revoked",
        found=f"{token_id}, revoked",
    )


def _proved_by(error: InvalidTokenError, caller: Caller) -> InvalidTokenError:
    error.client_id, error.credential_id = caller.client_id, caller.credential_id
    return error
