// SPDX-License-Identifier: Apache-2.0
// The same on oauth4webapi, which leaves each step to its caller.
import { createInterface } from "node:readline";
import * as oauth from "oauth4webapi";

const { issuer, clientId, clientSecret, redirectUri, details, uscc } = JSON.parse(process.argv[2]);
const say = (told) => console.log(JSON.stringify(told));
const lines = createInterface({ input: process.stdin });
const insecure = { [oauth.allowInsecureRequests]: true }; // the test's bureau listens on the machine itself

const at = new URL(issuer);
const found = await oauth.discoveryRequest(at, { algorithm: "oauth2", ...insecure });
const server = await oauth.processDiscoveryResponse(at, found);
const client = { client_id: clientId };
const proof = oauth.ClientSecretBasic(clientSecret);
const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const pushed = await oauth.pushedAuthorizationRequest(
  server,
  client,
  proof,
  new URLSearchParams({
    response_type: "code",
    client_id: clientId,
    redirect_uri: redirectUri,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    authorization_details: JSON.stringify(details),
  }),
  insecure,
);
const { request_uri, expires_in } = await oauth.processPushedAuthorizationResponse(server, client, pushed);
const link = new URL(server.authorization_endpoint);
link.search = new URLSearchParams({ client_id: clientId, request_uri });
say({ link: link.href, expires_in });

for await (const line of lines) {
  try {
    const told = oauth.validateAuthResponse(server, client, new URL(line), state);
    const response = await oauth.authorizationCodeGrantRequest(server, client, proof, told, redirectUri, verifier, insecure);
    const tokens = await oauth.processAuthorizationCodeResponse(server, client, response);
    const question = { uscc, purpose: "pre_loan", product: "records", operator: "OP-00042" };
    const headers = new Headers({ "Content-Type": "application/json", "Idempotency-Key": oauth.generateRandomState() });
    const url = new URL("/v1/credit-queries", issuer);
    const body = JSON.stringify(question);
    const answer = await oauth.protectedResourceRequest(tokens.access_token, "POST", url, headers, body, insecure);
    const active = [];
    for (let turn = 0; turn < 2; turn += 1) {
      const asked = await oauth.introspectionRequest(server, client, proof, tokens.access_token, insecure);
      active.push((await oauth.processIntrospectionResponse(server, client, asked)).active);
      await oauth.processRevocationResponse(
        await oauth.revocationRequest(server, client, proof, tokens.access_token, insecure),
      );
    }
    say({ details: tokens.authorization_details, status: answer.status, active });
    break;
  } catch (error) {
    say({ error: error.error ?? error.code ?? String(error) });
  }
}
lines.close();
