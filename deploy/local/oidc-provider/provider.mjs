// An OpenID provider on a free port of this machine, for tests. It prints its address, and ends with its standard input.
// Clients get tokens by client_credentials; the resource that a token is for is the algorithm that signs it, and a new key
// is what `keys` is called with.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Provider from 'oidc-provider';

// Tests copy this file to where the packages are.
if (/provider-[0-9a-f]{32}\.mjs$/.test(import.meta.url)) rmSync(fileURLToPath(import.meta.url));

const kinds = {
  RS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519', undefined],
};
const jwks = Object.entries(kinds).map(([alg, [kind, options]]) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }),
  alg, use: 'sig', kid: `${alg}-${process.argv[2] ?? 1}`,
}));
const client = (id) => ({
  client_id: id, client_secret: 'a secret of the test', grant_types: ['client_credentials'],
  redirect_uris: [], response_types: [],
});
const people = {
  ada: { roles: ['shop-managers', 'others'], email: 'ada@idp.example', email_verified: true },
  bob: { roles: ['others'], email: 'bob@idp.example', email_verified: false },
};

const server = createServer();
server.listen(Number(process.argv[3] ?? 0), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    jwks: { keys: jwks },
    clients: Object.keys(people).map(client),
    enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    extraTokenClaims: (ctx, token) => people[token.clientId],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => {
          const url = new URL(resource);
          return {
            scope: 'shop', audience: url.host, accessTokenTTL: 300, accessTokenFormat: 'jwt',
            jwt: { sign: { alg: url.pathname.slice(1) } },
          };
        },
      },
    },
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
process.stdin.on('end', () => process.exit(0)).resume();
