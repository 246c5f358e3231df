// oidc-provider, the certified OpenID Provider, with rotation on; it detects reuse by itself.
// Ends with its standard input. Arguments: JSON with client_id, client_secret, redirect_uri, jwk.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const { client_id, client_secret, jwt_client_id, redirect_uri, jwk } = JSON.parse(process.argv[2]);

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  const client = {
    redirect_uris: [redirect_uri],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    scope: "openid email offline_access",
  };
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [
      { ...client, client_id, client_secret, token_endpoint_auth_method: "client_secret_basic" },
      {
        ...client,
        client_id: jwt_client_id,
        token_endpoint_auth_method: "private_key_jwt",
        token_endpoint_auth_signing_alg: "ES256",
        jwks: { keys: [jwk] },
      },
    ],
    claims: { openid: ["sub"], email: ["email"] },
    conformIdTokenClaims: false,
    features: {
      devInteractions: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@acme.example` }),
    }),
    pkce: { required: () => true },
    rotateRefreshToken: true,
    cookies: { keys: ["for the tests only"] },
  });
  server.on("request", provider.callback());
  console.log(port);
});
process.stdin.on("end", () => process.exit(0)).resume();
