// oidc-provider at its defaults (in-memory adapter), with the two things the comparison needs: the client credentials
// grant, and access tokens as ES256 JWTs for one resource. Prints "ready" when it listens.
// Usage: node server.mjs PORT CLIENTS
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const [port, clientCount] = process.argv.slice(2).map(Number);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const resource = 'urn:bench:api';

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: Array.from({ length: clientCount }, (_, n) => ({
    client_id: `client-${n}`,
    client_secret: `secret-of-client-${n}-0123456789abcdefghijklmnopqrstuvwxyz`,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'client_secret_post',
    id_token_signed_response_alg: 'ES256',
  })),
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'bench' }] },
  scopes: ['bookings:read', 'bookings:cancel'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'bookings:read bookings:cancel',
        audience: resource,
        accessTokenTTL: 3600,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});
provider.listen(port, '127.0.0.1', () => console.log('ready'));
