// A Node.js integrator's way in: discovery from the printed issuer, a token, one call, and the token's end. Prints one
// JSON line.
// Node 18 has Web Crypto, which the library needs, only behind this import.
import { webcrypto } from 'node:crypto'
globalThis.crypto ??= webcrypto

const oauth = await import('openid-client')
const { ISSUER, CLIENT_ID, CLIENT_SECRET, AUDIENCE, BASE_URL, CONTACT, METHOD } = process.env

const method = METHOD === 'basic' ? oauth.ClientSecretBasic(CLIENT_SECRET) : oauth.ClientSecretPost(CLIENT_SECRET)
const options = { algorithm: 'oauth2', execute: [oauth.allowInsecureRequests] }
const config = await oauth.discovery(new URL(ISSUER), CLIENT_ID, undefined, method, options)
const token = await oauth.clientCredentialsGrant(config, { audience: AUDIENCE })
const list = new URL(`${BASE_URL}/v1/interactions:fetchContactBookings?external_id=${CONTACT}`)
const answer = await oauth.fetchProtectedResource(config, token.access_token, list, 'GET')
const before = await oauth.tokenIntrospection(config, token.access_token)
await oauth.tokenRevocation(config, token.access_token)
const after = await oauth.tokenIntrospection(config, token.access_token)

const metadata = config.serverMetadata()
console.log(JSON.stringify({
  issuer: metadata.issuer,
  token_endpoint: metadata.token_endpoint,
  token_type: token.token_type,
  expires_in: token.expires_in,
  status: answer.status,
  active: before.active,
  active_after_revocation: after.active,
  body: await answer.json(),
}))
