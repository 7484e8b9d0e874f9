"""Looking things up for a verb, with the refusal in words where they are not there."""

from __future__ import annotations

from omnilab.storage.database import Reader
from omnilab.tenancy.model.nouns import Audience, Client, Tenant
from omnilab.tenancy.refusals import audience_unknown, client_unknown, endpoint_unknown, tenant_unknown
from omnilab.tenancy.store.audiences import AudienceReader
from omnilab.tenancy.store.clients import ClientDirectory
from omnilab.tenancy.store.tenants import TenantDirectory


async def get_tenant(reader: Reader, key: str) -> Tenant:
    """The tenant with this key. Raises ProvisioningError `tenant_unknown`."""
    tenant = await TenantDirectory(reader).find(key)
    if tenant is None:
        raise tenant_unknown(key)
    return tenant


async def get_client(reader: Reader, client_id: str) -> Client:
    """The client with this id. Raises ProvisioningError `client_unknown`."""
    client = await ClientDirectory(reader).find(client_id)
    if client is None:
        raise client_unknown(client_id)
    return client


async def get_audiences(reader: Reader, tenant: Tenant, wanted: tuple[str, ...]) -> list[Audience]:
    """The tenant's audiences of these URIs in the order given, or its default one. Raises ProvisioningError."""
    known = {each.audience: each for each in await AudienceReader(reader, tenant.tenant_id).list_all()}
    for uri in wanted:
        if uri not in known:
            raise audience_unknown(tenant.tenant, uri, known)
    if not wanted:
        return [each for each in known.values() if each.is_default]
    return [known[uri] for uri in dict.fromkeys(wanted)]


async def get_endpoint_owners(reader: Reader, tenant: Tenant, endpoints: tuple[str, ...]) -> dict[str, str]:
    """The audience that each endpoint belongs to. Raises ProvisioningError `endpoint_unknown`."""
    owners = {
        endpoint: each.audience
        for each in await AudienceReader(reader, tenant.tenant_id).list_all()
        for endpoint in each.endpoints
    }
    for endpoint in endpoints:
        if endpoint not in owners:
            raise endpoint_unknown(tenant.tenant, endpoint, owners)
    return {endpoint: owners[endpoint] for endpoint in endpoints}
