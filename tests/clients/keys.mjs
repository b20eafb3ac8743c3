// SPDX-License-Identifier: Apache-2.0
// What a script is told (CLIENT, one JSON document in its environment), and the key in it as WebCrypto takes it.

const KINDS = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256' },
  Ed25519: { name: 'Ed25519' },
}

export const told = JSON.parse(process.env.CLIENT)

export async function privateKey() {
  const key = await crypto.subtle.importKey('jwk', told.jwk, KINDS[told.algorithm], false, ['sign'])
  return { key, kid: told.jwk.kid }
}

export function proofKeys() {
  const kind = KINDS[told.algorithm]
  const more = kind.name === 'RSA-PSS' ? { modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) } : {}
  return crypto.subtle.generateKey({ ...kind, ...more }, false, ['sign', 'verify'])
}
