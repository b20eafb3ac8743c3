// SPDX-License-Identifier: Apache-2.0
// A client on oauth4webapi: private_key_jwt, a plain token, a bound one, introspection, revocation. Prints what came.
import * as oauth from 'oauth4webapi'
import { privateKey, proofKeys, told } from './keys.mjs'

const loopback = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(told.issuer)
const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...loopback })
const as = await oauth.processDiscoveryResponse(issuer, found)
const client = { client_id: told.client_id }
const authentication = oauth.PrivateKeyJwt(await privateKey())
const resource = new URL('/v1/consents', issuer)
const nonces = []

async function token(options = {}) {
  const asked = () =>
    oauth.clientCredentialsGrantRequest(as, client, authentication, { scope: 'consent:read' }, { ...options, ...loopback })
  try {
    return await oauth.processClientCredentialsResponse(as, client, await asked())
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    nonces.push('token')
    return oauth.processClientCredentialsResponse(as, client, await asked())
  }
}

async function use(access, options = {}) {
  const asked = () => oauth.protectedResourceRequest(access, 'GET', resource, undefined, null, { ...options, ...loopback })
  try {
    return (await asked()).status
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) return error.status
    nonces.push('resource')
    return (await asked()).status
  }
}

async function introspect(access) {
  const response = await oauth.introspectionRequest(as, client, authentication, access, loopback)
  return oauth.processIntrospectionResponse(as, client, response)
}

const plain = await token()
const plainUsed = await use(plain.access_token)
const DPoP = oauth.DPoP(client, await proofKeys())
const bound = await token({ DPoP })
const thumbprint = await DPoP.calculateThumbprint()
const boundUsed = [await use(bound.access_token, { DPoP }), await use(bound.access_token, { DPoP })]
const boundAsBearer = await use(bound.access_token)
const shown = await introspect(bound.access_token)
await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, authentication, bound.access_token, loopback))
const after = await introspect(bound.access_token)
const usedAfter = await use(bound.access_token, { DPoP })
console.log(JSON.stringify({ plain, plainUsed, bound, boundUsed, boundAsBearer, thumbprint, nonces, shown, after, usedAfter }))
