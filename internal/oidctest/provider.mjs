// An OpenID provider for the tests: oidc-provider on a loopback port, with one confidential
// client and a login form of one field. It prints its issuer when it is ready.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const { REDIRECT_URI, AFTER_LOGOUT, ACCESS_TTL } = process.env;

const page = (body) => `<!doctype html><title>provider</title>${body}`;

const configuration = {
  clients: [{
    client_id: 'shop',
    client_secret: 's3cret',
    redirect_uris: [REDIRECT_URI],
    post_logout_redirect_uris: [AFTER_LOGOUT],
    grant_types: ['authorization_code', 'refresh_token'],
    scope: 'openid offline_access orders email',
  }],
  scopes: ['openid', 'offline_access', 'orders'],
  claims: { openid: ['sub'], email: ['email'] },
  conformIdTokenClaims: false,
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@shop.test` }) }),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: { AccessToken: Number(ACCESS_TTL), IdToken: 3600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600 },
  cookies: { keys: ['for tests'] },
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => {
        ctx.body = page(`${form}<button id="yes" form="op.logoutForm" name="logout" value="yes">Log out</button>`);
      },
    },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  const oidc = provider.callback();

  const interact = async (req, res) => {
    const { uid, prompt, params, session, grantId } = await provider.interactionDetails(req, res);
    if (prompt.name === 'consent') {
      const grant = grantId ? await provider.Grant.find(grantId)
        : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
      grant.addOIDCScope(params.scope);
      await provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
      return;
    }
    if (req.method !== 'POST') {
      res.setHeader('content-type', 'text/html');
      res.end(page(`<form method="post" action="/interaction/${uid}"><input name="login" id="login"><button id="go">Log in</button></form>`));
      return;
    }
    let body = '';
    for await (const chunk of req) body += chunk;
    const accountId = new URLSearchParams(body).get('login');
    await provider.interactionFinished(req, res, { login: { accountId } });
  };

  server.on('request', (req, res) => {
    if (!req.url.startsWith('/interaction/')) return oidc(req, res);
    return interact(req, res).catch((err) => { res.statusCode = 500; res.end(String(err)); });
  });
  console.log(issuer);
});

// The test that started this one holds its standard input: it ends with it.
process.stdin.on('end', () => process.exit(0)).resume();
