// SPDX-License-Identifier: Apache-2.0
// A client on openid-client, which finds the server, retries for nonces and signs by itself. Prints what came.
import * as client from 'openid-client'
import { privateKey, proofKeys, told } from './keys.mjs'

const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] }
const authentication = client.PrivateKeyJwt(await privateKey())
const config = await client.discovery(new URL(told.issuer), told.client_id, undefined, authentication, options)
const resource = new URL('/v1/consents', told.issuer)

async function use(access, more) {
  try {
    return (await client.fetchProtectedResource(config, access, resource, 'GET', undefined, undefined, more)).status
  } catch (error) {
    return error.status
  }
}

const plain = await client.clientCredentialsGrant(config, { scope: 'consent:read' })
const plainUsed = await use(plain.access_token)
const DPoP = client.getDPoPHandle(config, await proofKeys())
const thumbprint = await DPoP.calculateThumbprint()
const bound = await client.clientCredentialsGrant(config, { scope: 'consent:read' }, { DPoP })
const boundUsed = [await use(bound.access_token, { DPoP }), await use(bound.access_token, { DPoP })]
const boundAsBearer = await use(bound.access_token)
const shown = await client.tokenIntrospection(config, bound.access_token)
await client.tokenRevocation(config, bound.access_token)
const after = await client.tokenIntrospection(config, bound.access_token)
const usedAfter = await use(bound.access_token, { DPoP })
console.log(JSON.stringify({ plain, plainUsed, bound, boundUsed, boundAsBearer, thumbprint, shown, after, usedAfter }))
