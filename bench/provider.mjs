// SPDX-License-Identifier: Apache-2.0
// The peer of `tokens`: node oidc-provider, one process, in memory, clients that sign. PORT and CLIENTS come from the
// environment; CLIENTS is a JSON array of {client_id, jwks}.
import Provider from '../tests/clients/node_modules/oidc-provider/lib/index.js'

const { PORT, CLIENTS } = process.env
const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  clients: JSON.parse(CLIENTS).map((client) => ({
    ...client,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    scope: 'credit:query',
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
  })),
  clientAuthMethods: ['private_key_jwt'],
  enabledJWA: { clientAuthSigningAlgValues: ['ES256'] },
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  scopes: ['credit:query'],
  ttl: { ClientCredentials: 300 },
})
provider.listen(Number(PORT), '127.0.0.1')
