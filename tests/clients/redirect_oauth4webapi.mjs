// SPDX-License-Identifier: Apache-2.0
// The same on oauth4webapi, which leaves each step to its caller.
import { createInterface } from "node:readline";
import * as oauth from "oauth4webapi";

const { issuer, clientId, clientSecret, redirectUri, details, uscc, bound } = JSON.parse(process.argv[2]);
const say = (told) => console.log(JSON.stringify(told));
const lines = createInterface({ input: process.stdin });
const insecure = { [oauth.allowInsecureRequests]: true }; // the test's bureau listens on the machine itself

const at = new URL(issuer);
const found = await oauth.discoveryRequest(at, { algorithm: "oauth2", ...insecure });
const server = await oauth.processDiscoveryResponse(at, found);
const client = { client_id: clientId };
const proof = oauth.ClientSecretBasic(clientSecret);
const keys = bound ? { DPoP: oauth.DPoP(client, await oauth.generateKeyPair("ES256")) } : {};
const options = { ...insecure, ...keys };

// Whoever shows a key is told a nonce first, and tries again with it.
async function twice(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return attempt();
  }
}

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const parameters = new URLSearchParams({
  response_type: "code",
  client_id: clientId,
  redirect_uri: redirectUri,
  state,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  authorization_details: JSON.stringify(details),
});
if (bound === "named") parameters.set("dpop_jkt", await keys.DPoP.calculateThumbprint());
const { request_uri, expires_in } = await twice(async () => {
  const shown = bound === "shown" ? options : insecure;
  const pushed = await oauth.pushedAuthorizationRequest(server, client, proof, parameters, shown);
  return oauth.processPushedAuthorizationResponse(server, client, pushed);
});
const link = new URL(server.authorization_endpoint);
link.search = new URLSearchParams({ client_id: clientId, request_uri });
say({ link: link.href, expires_in });

for await (const line of lines) {
  try {
    const told = oauth.validateAuthResponse(server, client, new URL(line), state);
    const tokens = await twice(async () => {
      const sent = await oauth.authorizationCodeGrantRequest(server, client, proof, told, redirectUri, verifier, options);
      return oauth.processAuthorizationCodeResponse(server, client, sent);
    });
    const question = { uscc, purpose: "pre_loan", product: "records", operator: "OP-00042" };
    const headers = new Headers({ "Content-Type": "application/json", "Idempotency-Key": oauth.generateRandomState() });
    const url = new URL("/v1/credit-queries", issuer);
    const body = JSON.stringify(question);
    const answer = await oauth.protectedResourceRequest(tokens.access_token, "POST", url, headers, body, options);
    const active = [];
    for (let turn = 0; turn < 2; turn += 1) {
      const asked = await oauth.introspectionRequest(server, client, proof, tokens.access_token, insecure);
      active.push((await oauth.processIntrospectionResponse(server, client, asked)).active);
      await oauth.processRevocationResponse(
        await oauth.revocationRequest(server, client, proof, tokens.access_token, insecure),
      );
    }
    say({ details: tokens.authorization_details, kind: tokens.token_type, status: answer.status, active });
    break;
  } catch (error) {
    say({ error: error.error ?? error.code ?? String(error) });
  }
}
lines.close();
