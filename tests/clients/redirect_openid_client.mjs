// SPDX-License-Identifier: Apache-2.0
// A bank's server on openid-client asks an enterprise by redirect: PAR, PKCE, RAR, code, iss; then it asks the bureau.
import { createInterface } from "node:readline";
import * as client from "openid-client";

const { issuer, clientId, clientSecret, redirectUri, details, uscc, bound } = JSON.parse(process.argv[2]);
const say = (told) => console.log(JSON.stringify(told));
const lines = createInterface({ input: process.stdin });

const config = await client.discovery(new URL(issuer), clientId, undefined, client.ClientSecretBasic(clientSecret), {
  algorithm: "oauth2",
  execute: [client.allowInsecureRequests],
});
const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const more = bound ? { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256")) } : {};
const parameters = {
  redirect_uri: redirectUri,
  scope: "credit:query",
  state,
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  authorization_details: JSON.stringify(details),
};
if (bound === "named") parameters.dpop_jkt = await more.DPoP.calculateThumbprint();
const link = await client.buildAuthorizationUrlWithPAR(config, parameters, bound === "shown" ? more : {});
say({ link: link.href });

for await (const line of lines) {
  try {
    const checks = { pkceCodeVerifier: verifier, expectedState: state };
    const tokens = await client.authorizationCodeGrant(config, new URL(line), checks, undefined, more);
    const question = { uscc, purpose: "pre_loan", product: "records", operator: "OP-00042" };
    const headers = new Headers({ "Content-Type": "application/json", "Idempotency-Key": client.randomState() });
    const at = new URL("/v1/credit-queries", issuer);
    const body = JSON.stringify(question);
    const answer = await client.fetchProtectedResource(config, tokens.access_token, at, "POST", body, headers, more);
    const asked = await client.tokenIntrospection(config, tokens.access_token);
    await client.tokenRevocation(config, tokens.access_token);
    const after = await client.tokenIntrospection(config, tokens.access_token);
    const active = [asked.active, after.active];
    say({ details: tokens.authorization_details, kind: tokens.token_type, status: answer.status, active });
    break;
  } catch (error) {
    say({ error: error.error ?? error.code ?? String(error) });
  }
}
lines.close();
