// The OpenID Provider that ProConnect's federation runs on, set up as the federation sets it up,
// for Vestibule's tests. Loopback only; keys, secrets and sessions live as long as the process.
//
//   node oidc-provider.cjs '{"port": 0, "redirect_uris": ["http://localhost:4180/oauth2/callback"],
//                            "post_logout_redirect_uris": ["http://localhost:4180/oauth2/signed_out"],
//                            "person": {"acr": "eidas1-mfa", "roles": []},
//                            "client_secrets": {"vestibule-es256": "…"},
//                            "backchannel_logout_uri": "http://localhost:4180/oauth2/backchannel_logout",
//                            "access_token_ttl": 5, "rotate_always": true,
//                            "api": "https://api.example"}'
//
// The last four are not the federation's: it tells no service of a sign-out, its access tokens
// live an hour, and it rotates refresh tokens late in their life. With them the library is what a
// stricter provider is: every refresh token is good once, and a second use ends the grant. With an
// api it issues access tokens for that resource to `vestibule-machine`: JWTs for the address itself,
// opaque ones for the one below it, `/opaque`; and `vestibule-api` is told of them, in signed answers
// where it asks for those.
//
// With `clients` it knows further ones, each with what is written of its registration, over that of
// `vestibule-es256`; they may prove themselves in every way that the library has. With
// `"pushed": "announced"` or `"required"` it takes authorization requests directly. With `tls` (the
// paths of a `certificate`, its `key`, and the `authority` of client certificates) it speaks https and
// asks for certificates; a client's own is its `certificate`.
//
// With `asks` it shows its form to everybody who has to prove something, as an identity provider does: a
// `login_hint` is only what the form proposes. The form's hidden `minutes_ago` is how long ago they did.
//
// With `realm` it is an enterprise's single sign-on instead: below that path, and with nothing at
// `/.well-known`. `public_client` is one more client, `vestibule-public`, which has no secret.
//
// Beside the provider, for tests: GET /control/counters says how often tokens were asked for,
// refreshed, reused and revoked, and for discovery; POST /control/sign-out with {"sub": "…"} ends that person's
// sessions and posts a logout token, without sid, to every client.
//
// Once it listens it prints one line of JSON: its issuer and the clients that it knows, with their
// secrets. Everything else goes to standard error.
//
// What is not the library's own behaviour is what the federation adds to it: one session of its
// own (`pc_session_id`) beside the library's, `prompt` rewritten, parameters checked before the
// library sees them, and pages instead of redirects for mistakes of the service.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');

// The library announces itself on standard output, which belongs to our one line.
console.info = console.warn = console.log = console.error;

const { Provider, errors } = require('oidc-provider');

const SESSION_COOKIE = 'pc_session_id';
const HOURS_12 = 12 * 3600;

const SCOPES = [
  'openid', 'given_name', 'usual_name', 'email', 'uid', 'siret', 'siren', 'idp_id', 'idp_acr',
  'roles', 'organization_label', 'phone', 'custom', 'amr',
];
const ACR_VALUES = [
  'eidas0', 'eidas0-mfa', 'eidas1', 'eidas1-mfa', 'eidas2', 'eidas3',
  'https://proconnect.gouv.fr/assurance/certification-dirigeant',
];
// Levels for which the federation never reuses its session.
const ALWAYS_ANEW = ['eidas2', 'eidas3'];
const IDENTITY_PROVIDERS = [
  '71144ab3-ee1a-4401-b7b3-79b44f7daeeb',
  '2af2c3d4-0c2a-4f0e-9d2c-6d1f3b9b7c11',
];
const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;

const settings = {
  host: '127.0.0.1',
  port: 0,
  redirect_uris: [],
  post_logout_redirect_uris: [],
  client_secrets: {},
  backchannel_logout_uri: undefined,
  access_token_ttl: 3600,
  rotate_always: false,
  api: undefined,
  realm: undefined,
  public_client: false,
  clients: [],
  pushed: undefined,
  tls: undefined,
  asks: false,
  ...JSON.parse(process.argv[2] ?? '{}'),
};

const PREFIX = settings.realm ?? '/api/v2';

// What the form proposes, and what is taken when nobody fills it in.
const PROPOSED = {
  email: 'agent@exemple.gouv.fr',
  given_name: 'Hélène',
  usual_name: 'Moreau-Lefèvre',
  siret: '13002526500013',
  organization_label: 'Direction interministérielle du numérique',
  roles: ['agent_public', 'agent_public_etat'],
  acr: 'eidas1',
  idp_id: IDENTITY_PROVIDERS[0],
  ...settings.person,
};

// -- People and the federation's own sessions ----------------------------------------------------

const sessions = new Map(); // cookie value → { person, endsAt }
const sessionOfSubject = new Map(); // sub → cookie value: the last session of a subject wins

/** The person that a filled-in form describes. One identity provider's e-mail is one subject. */
function personFrom(fields) {
  const person = { ...PROPOSED, ...fields };
  const email = person.email.trim();
  const hash = crypto.createHash('sha256').update(`${person.idp_id} ${email.toLowerCase()}`).digest('hex');
  const siret = person.siret.replace(/\s/g, '');
  return {
    sub: `${hash.slice(0, 8)}-${hash.slice(8, 12)}-4${hash.slice(13, 16)}-8${hash.slice(17, 20)}-${hash.slice(20, 32)}`,
    email,
    given_name: person.given_name,
    usual_name: person.usual_name,
    uid: hash.slice(32, 44),
    siret,
    siren: siret.slice(0, 9),
    idp_id: person.idp_id,
    idp_acr: person.acr,
    roles: person.roles,
    organization_label: person.organization_label,
    phone_number: person.phone_number,
    custom: person.custom ?? {},
    acr: person.acr,
    amr: person.acr.endsWith('-mfa') || ALWAYS_ANEW.includes(person.acr) ? ['pwd', 'otp', 'mfa'] : ['pwd'],
  };
}

function openSession(person) {
  const id = crypto.randomBytes(32).toString('base64url');
  sessions.set(id, { person, endsAt: Date.now() + HOURS_12 * 1000 });
  sessionOfSubject.set(person.sub, id);
  return id;
}

function sessionById(id) {
  const session = sessions.get(id);
  return session && session.endsAt > Date.now() ? session : undefined;
}

function closeSession(id) {
  const session = sessions.get(id);
  sessions.delete(id);
  if (session && sessionOfSubject.get(session.person.sub) === id) sessionOfSubject.delete(session.person.sub);
}

function cookie(req, name) {
  for (const pair of (req.headers.cookie ?? '').split(';')) {
    const [held, value] = pair.trim().split('=');
    if (held === name) return value;
  }
  return undefined;
}

/** Clears the library's own session, here and in the browser, so that each authorization starts anew. */
function dropLibrarySession(req, res) {
  const id = cookie(req, SESSION_COOKIE);
  req.headers.cookie = id ? `${SESSION_COOKIE}=${id}` : '';
  res.setHeader('set-cookie', ['_session', '_session.sig'].map((name) => `${name}=; Path=${PREFIX}; Max-Age=0; HttpOnly; SameSite=Lax`));
}

// -- What a request asks for ---------------------------------------------------------------------

/** The acr values of which one is required: those of an essential claim, with acr_values if any. */
function requiredAcrs(params) {
  let asked;
  try {
    asked = JSON.parse(params.claims ?? '{}')?.id_token?.acr;
  } catch {
    return []; // the library answers for malformed claims
  }
  if (!asked?.essential) return [];
  return [...(asked.values ?? (asked.value ? [asked.value] : [])), ...(params.acr_values?.split(' ') ?? [])];
}

/** Whether a running session answers an authorization request without showing a page. */
function answers(session, params) {
  const { person } = session;
  const required = requiredAcrs(params);
  const asked = [...required, ...(params.acr_values?.split(' ') ?? [])];
  return (!params.idp_hint || params.idp_hint === person.idp_id)
    && (!params.login_hint || params.login_hint.toLowerCase() === person.email.toLowerCase())
    && (required.length === 0 || required.includes(person.acr))
    && !asked.some((acr) => ALWAYS_ANEW.includes(acr));
}

/** What is wrong with an authorization request before the library looks at it, if anything is. */
function mistakeIn(params) {
  const need = (name, good, what) => (good ? undefined : `${name} ${what}`);
  const { state = '', nonce = '', prompt, login_hint, siret_hint } = params;
  return need('state', state.length >= 32, 'must have 32 characters or more')
    ?? need('nonce', nonce.length >= 32 && nonce.length <= 512, 'must have 32 characters or more')
    ?? need('prompt', ['', 'login', 'consent', 'none'].includes(prompt ?? ''), 'must be login, consent or none')
    ?? need('login_hint', !login_hint || EMAIL.test(login_hint), 'must be an e-mail address')
    ?? need('siret_hint', siret_hint === undefined || siret_hint.length === 14, 'must have 14 characters');
}

// -- Pages ---------------------------------------------------------------------------------------

const escapeHtml = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const page = (title, body) => `<!doctype html>
<html lang="fr"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title></head>
<body><main><h1>${escapeHtml(title)}</h1>
${body}
</main></body></html>
`;

function sendPage(res, status, title, body) {
  res.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  res.end(page(title, body));
}

const errorBody = (code, text) => `<p id="error-code">${escapeHtml(code)}</p><p id="error-description">${escapeHtml(text)}</p>`;

function signInForm(action, person) {
  const text = (name, label, value, type = 'text') => `<p><label>${label}
<input type="${type}" name="${name}" value="${escapeHtml(value)}"></label></p>`;
  const levels = ACR_VALUES.map((acr) => `<option${acr === person.acr ? ' selected' : ''}>${escapeHtml(acr)}</option>`);
  return `<form method="post" action="${escapeHtml(action)}">
${text('email', 'Adresse électronique', person.email, 'email')}
${text('given_name', 'Prénoms', person.given_name)}
${text('usual_name', "Nom d'usage", person.usual_name)}
${text('siret', 'SIRET', person.siret)}
${text('roles', 'Rôles, séparés par des espaces', person.roles.join(' '))}
<input type="hidden" name="minutes_ago" value="0">
<p><label>Niveau de garantie <select name="acr">${levels.join('')}</select></label></p>
<p><button type="submit" name="action" value="sign-in">Se connecter</button>
<button type="submit" name="action" value="refuse">Annuler</button></p>
</form>`;
}

async function readBody(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

// -- The library, set up as the federation sets it up --------------------------------------------

function clients() {
  const of = (name, idToken, userinfo) => ({
    client_id: `vestibule-${name}`,
    // Given where a registration must outlive a restart, as it does in life; else a fresh one.
    client_secret: settings.client_secrets[`vestibule-${name}`] ?? crypto.randomBytes(32).toString('base64url'),
    client_name: `Vestibule (${name})`,
    redirect_uris: settings.redirect_uris,
    post_logout_redirect_uris: settings.post_logout_redirect_uris,
    scope: SCOPES.filter((scope) => scope !== 'siren').join(' '),
    id_token_signed_response_alg: idToken,
    ...(userinfo && { userinfo_signed_response_alg: userinfo }),
    ...(settings.backchannel_logout_uri && {
      backchannel_logout_uri: settings.backchannel_logout_uri,
      backchannel_logout_session_required: true,
    }),
  });
  const machine = (name, more) => ({
    client_id: `vestibule-${name}`,
    client_secret: settings.client_secrets[`vestibule-${name}`] ?? crypto.randomBytes(32).toString('base64url'),
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: 'ES256',
    ...more,
  });
  const machines = settings.api === undefined ? [] : [
    machine('machine', { grant_types: ['client_credentials'], scope: 'read write' }),
    machine('api', { grant_types: [], introspection_signed_response_alg: 'ES256' }),
  ];
  const further = settings.clients.map(({ certificate, ...client }) => ({
    ...of('es256', 'ES256', 'ES256'),
    ...(certificate && { jwks: { keys: [keyOf(certificate)] } }),
    ...client,
  }));
  const all = [of('hs256', 'HS256'), of('es256', 'ES256', 'ES256'), of('rs256', 'RS256', 'RS256'), ...machines, ...further];
  if (!settings.public_client) return all;
  const { client_secret, ...open } = of('public', 'ES256');
  return [...all, { ...open, token_endpoint_auth_method: 'none' }];
}

/** The key of a certificate, with the certificate itself. */
function keyOf(path) {
  const certificate = new crypto.X509Certificate(fs.readFileSync(path));
  return { ...certificate.publicKey.export({ format: 'jwk' }), x5c: [certificate.raw.toString('base64')] };
}

/** Client certificates, as Node shows them. */
const mTLS = {
  enabled: true,
  tlsClientAuth: true,
  selfSignedTlsClientAuth: true,
  getCertificate: (ctx) => {
    const { raw } = ctx.socket.getPeerCertificate();
    return raw && `-----BEGIN CERTIFICATE-----\n${raw.toString('base64')}\n-----END CERTIFICATE-----`;
  },
  certificateAuthorized: (ctx) => ctx.socket.authorized,
  certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_san_dns'
    && ctx.socket.getPeerCertificate().subjectaltname === `DNS:${expected}`,
};

function keys() {
  // New keys have new names, after a restart too.
  const key = (type, options, alg) => ({
    ...crypto.generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
    kid: `${type}-${crypto.randomBytes(6).toString('hex')}`, alg, use: 'sig',
  });
  return { keys: [key('ec', { namedCurve: 'P-256' }, 'ES256'), key('rsa', { modulusLength: 2048 }, 'RS256')] };
}

function makeProvider(issuer, registered) {
  const algorithms = ['ES256', 'RS256', 'HS256'];
  const provider = new Provider(issuer, {
    clients: registered,
    clientDefaults: {
      grant_types: ['authorization_code', 'refresh_token'],
      id_token_signed_response_alg: 'ES256',
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_post',
    },
    tokenEndpointAuthMethods: [
      'client_secret_post', 'private_key_jwt',
      ...(settings.clients.length > 0 ? ['client_secret_jwt', 'client_secret_basic'] : []),
      ...(settings.tls ? ['tls_client_auth', 'self_signed_tls_client_auth'] : []),
      ...(settings.public_client ? ['none'] : []),
    ],
    responseTypes: ['code'],
    pkce: { methods: ['S256'], required: () => false },
    jwks: keys(),
    enabledJWA: {
      idTokenSigningAlgValues: algorithms,
      userinfoSigningAlgValues: algorithms,
      introspectionSigningAlgValues: algorithms,
      idTokenEncryptionAlgValues: ['ECDH-ES', 'RSA-OAEP'],
      userinfoEncryptionAlgValues: ['ECDH-ES', 'RSA-OAEP'],
      introspectionEncryptionAlgValues: ['ECDH-ES', 'RSA-OAEP'],
      idTokenEncryptionEncValues: ['A256GCM'],
      userinfoEncryptionEncValues: ['A256GCM'],
      introspectionEncryptionEncValues: ['A256GCM'],
    },
    scopes: ['openid', ...(settings.api === undefined ? [] : ['read', 'write'])],
    claims: {
      openid: ['sub'],
      ...Object.fromEntries(SCOPES.slice(1).map((scope) => [scope, [scope === 'phone' ? 'phone_number' : scope]])),
    },
    acrValues: ACR_VALUES,
    extraParams: ['idp_hint', 'siret_hint'],
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: Boolean(settings.backchannel_logout_uri) },
      clientCredentials: { enabled: settings.api !== undefined },
      resourceIndicators: settings.api === undefined ? { enabled: false } : {
        enabled: true,
        getResourceServerInfo: async (_ctx, resource) => {
          if (resource !== settings.api && resource !== `${settings.api}/opaque`) throw new errors.InvalidTarget();
          const jwt = resource === settings.api;
          return {
            scope: 'read write',
            audience: resource,
            accessTokenFormat: jwt ? 'jwt' : 'opaque',
            ...(jwt && { jwt: { sign: { alg: 'ES256' } } }),
          };
        },
      },
      claimsParameter: { enabled: true },
      encryption: { enabled: true },
      introspection: { enabled: true },
      jwtIntrospection: { enabled: true, ack: 'draft-10' },
      jwtUserinfo: { enabled: true },
      revocation: { enabled: true },
      ...(settings.tls && { mTLS }),
      pushedAuthorizationRequests: {
        enabled: Boolean(settings.pushed),
        requirePushedAuthorizationRequests: settings.pushed === 'required',
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => {
          ctx.body = page('Déconnexion', form.replace('</form>', '<input type="hidden" name="logout" value="yes"/><noscript><button>Continuer</button></noscript></form>')
            .concat('<script>document.forms[0].submit()</script>'));
        },
        postLogoutSuccessSource: (ctx) => {
          ctx.body = page('Vous êtes bien déconnecté', '<p id="signed-out">Vous pouvez fermer cette page.</p>');
        },
      },
    },
    routes: {
      authorization: '/authorize',
      token: '/token',
      userinfo: '/userinfo',
      end_session: '/session/end',
      jwks: '/jwks',
      introspection: '/token/introspection',
      revocation: '/token/revocation',
    },
    ttl: {
      Session: HOURS_12, Grant: HOURS_12, RefreshToken: HOURS_12, AccessToken: settings.access_token_ttl, IdToken: 3600, AuthorizationCode: 60,
      Interaction: 3600,
    },
    cookies: {
      keys: [crypto.randomBytes(32).toString('base64url')],
      long: { path: PREFIX, signed: true, httpOnly: true, sameSite: 'lax' },
      short: { signed: true, httpOnly: true, sameSite: 'lax' },
    },
    issueRefreshToken: async () => true,
    ...(settings.rotate_always && { rotateRefreshToken: true }),
    // Claims that live as long as the federation's session, of which the subject's last one counts.
    findAccount: async (_ctx, sub) => {
      const session = sessionById(sessionOfSubject.get(sub));
      return session && { accountId: sub, claims: async () => ({ ...session.person }) };
    },
    // No consent screen: what is asked for is granted.
    loadExistingGrant: async (ctx) => {
      const { account, client, requestParamClaims, requestParamOIDCScopes } = ctx.oidc;
      const grant = new ctx.oidc.provider.Grant({ accountId: account.accountId, clientId: client.clientId });
      grant.addOIDCScope([...requestParamOIDCScopes].join(' '));
      grant.addOIDCClaims([...requestParamClaims]);
      await grant.save();
      return grant;
    },
    interactions: { url: (_ctx, interaction) => `${PREFIX}/interaction/${interaction.uid}` },
    renderError: (ctx, out) => {
      ctx.type = 'html';
      ctx.body = page('Une erreur est survenue', errorBody(`oidc-provider-rendered-error:${out.error}`, out.error_description));
    },
  });
  provider.on('server_error', (_ctx, error) => console.error(error));
  provider.on('backchannel.success', () => { counters.logout_tokens += 1; });
  provider.on('backchannel.error', (_ctx, error) => { counters.logout_tokens += 1; console.error(error); });
  provider.on('grant.success', (ctx) => { if (ctx.oidc.params.grant_type === 'refresh_token') counters.refreshed += 1; });
  provider.on('grant.error', (_ctx, error) => { if (error.error_detail === 'refresh token already used') counters.refresh_reuse += 1; });
  provider.on('end_session.success', (ctx) => {
    closeSession(cookie(ctx.req, SESSION_COOKIE));
    ctx.append('set-cookie', `${SESSION_COOKIE}=; Path=${PREFIX}; Max-Age=0; HttpOnly; SameSite=Lax`);
  });
  return provider;
}

// -- The exchanges that the federation adds something to -----------------------------------------

/** Authorization: parameters checked, the library's session left aside, ours decides about prompt. */
async function authorize(req, res, url, library) {
  const sent = req.method === 'POST' ? new URLSearchParams(await readBody(req)) : url.searchParams;
  const params = Object.fromEntries(sent);
  // What was pushed was looked at by the library.
  const mistake = params.request_uri && settings.pushed ? undefined : mistakeIn(params);
  if (mistake) return sendPage(res, 400, 'Une erreur est survenue', errorBody('Y000400', mistake));

  const session = sessionById(cookie(req, SESSION_COOKIE));
  // prompt=none is left to the library only where it must fail; otherwise our own session answers.
  if (params.request_uri === undefined && (params.prompt !== 'none' || (session && answers(session, params)))) sent.set('prompt', 'login');
  dropLibrarySession(req, res);
  req.headers.accept = 'text/html';
  req.method = 'GET';
  return library(req, res, `/authorize?${sent}`);
}

/** The page between authorization and callback: ours to show, fill in or pass over. */
async function interaction(req, res, provider) {
  let details;
  try {
    details = await provider.interactionDetails(req, res);
  } catch {
    return sendPage(res, 400, 'Une erreur est survenue', errorBody('Y190001', 'session not found'));
  }
  const { params } = details;
  const finish = (result) => provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
  const refuse = (error, error_description) => finish({ error, error_description });

  if (params.idp_hint && !IDENTITY_PROVIDERS.includes(params.idp_hint)) return refuse('idp_hint_not_found', 'provider could not be found');

  const signIn = (person, minutesAgo = 0) => {
    const required = requiredAcrs(params);
    if (required.length > 0 && !required.includes(person.acr)) return refuse('access_denied', 'requested ACRs could not be satisfied');
    const id = openSession(person);
    res.setHeader('set-cookie', `${SESSION_COOKIE}=${id}; Path=${PREFIX}; Max-Age=${HOURS_12}; HttpOnly; SameSite=Lax`);
    const ts = Math.floor(Date.now() / 1000) - 60 * minutesAgo;
    return finish({ login: { accountId: person.sub, acr: person.acr, amr: person.amr, ts } });
  };

  if (req.method === 'POST') {
    const { action, ...fields } = Object.fromEntries(new URLSearchParams(await readBody(req)));
    if (action === 'refuse') return refuse('access_denied', 'User auth aborted');
    if (fields.roles !== undefined) fields.roles = fields.roles.split(/\s+/).filter(Boolean);
    const { email, siret } = personFrom(fields);
    if (!EMAIL.test(email) || !/^\d{14}$/.test(siret)) return sendPage(res, 400, 'Une erreur est survenue', errorBody('Y500006', 'invalid identity'));
    return signIn(personFrom(fields), Number(fields.minutes_ago ?? 0));
  }

  const session = sessionById(cookie(req, SESSION_COOKIE));
  if (session && answers(session, params)) {
    const { person } = session;
    return finish({ login: { accountId: person.sub, acr: person.acr, amr: person.amr } });
  }
  const hints = { ...(params.idp_hint && { idp_id: params.idp_hint }), ...(params.siret_hint && { siret: params.siret_hint }) };
  const hinted = { ...hints, ...(params.login_hint && { email: params.login_hint }) };
  if (params.login_hint && !settings.asks) return signIn(personFrom(hinted));
  return sendPage(res, 200, 'Se connecter', signInForm(req.url, { ...PROPOSED, ...hinted }));
}

const counters = { token: 0, pushed: 0, refreshed: 0, refresh_reuse: 0, revocation: 0, logout_tokens: 0, discovery: 0 };

/** What tests ask of us beside the protocol. */
async function control(req, res, path, provider, registered) {
  const answer = (status, body) => {
    res.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    res.end(JSON.stringify(body));
  };
  if (path === '/control/counters' && req.method === 'GET') return answer(200, counters);
  if (path !== '/control/sign-out' || req.method !== 'POST') return answer(404, {});
  const { sub } = JSON.parse(await readBody(req));
  for (const [id, session] of sessions) if (session.person.sub === sub) closeSession(id);
  const told = await Promise.all(registered.map(async ({ client_id }) => {
    counters.logout_tokens += 1;
    const client = await provider.Client.find(client_id);
    return client.backchannelLogout(sub, undefined).then(() => true, (error) => (console.error(error), false));
  }));
  return answer(200, { told: told.filter(Boolean).length });
}

function serve(provider, registered) {
  const callback = provider.callback();
  // The library finds out that it is mounted below a prefix by comparing the two addresses.
  const library = (req, res, url) => {
    req.originalUrl = PREFIX + url;
    req.url = url;
    return callback(req, res);
  };
  const refuseBasic = (res) => {
    res.writeHead(401, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    res.end(JSON.stringify({ error: 'invalid_client', error_description: 'client authentication failed' }));
  };

  return async (req, res) => {
    const url = new URL(req.url, 'http://localhost');
    if (url.pathname.startsWith('/control/')) return control(req, res, url.pathname, provider, registered);
    if (!url.pathname.startsWith(`${PREFIX}/`)) return sendPage(res, 404, 'Page introuvable', errorBody('Y000404', 'not found'));
    const path = url.pathname.slice(PREFIX.length);

    if (path.startsWith('/.well-known/')) {
      counters.discovery += 1;
      if (settings.realm) return sendPage(res, 404, 'Page introuvable', errorBody('404', 'not found'));
    }
    if (path === '/token') counters.token += 1;
    if (path === '/request') counters.pushed += 1;
    if (path === '/token/revocation') counters.revocation += 1;
    if (path === '/authorize') return authorize(req, res, url, library);
    if (path.startsWith('/interaction/')) return interaction(req, res, provider);
    if (path === '/session/end') {
      if (req.method !== 'GET') return sendPage(res, 404, 'Page introuvable', errorBody('Y000404', 'not found'));
      if ((url.searchParams.get('state') ?? '').length < 32) {
        return sendPage(res, 400, 'Une erreur est survenue', errorBody('Y000400', 'state must have 32 characters or more'));
      }
      req.headers.accept = 'text/html';
    }
    // The library takes a client's secret from either place; the federation announces one.
    if (path.startsWith('/token') && /^basic /i.test(req.headers.authorization ?? '')) return refuseBasic(res);
    return library(req, res, path + url.search);
  };
}

const server = settings.tls
  ? https.createServer({
    cert: fs.readFileSync(settings.tls.certificate),
    key: fs.readFileSync(settings.tls.key),
    ca: fs.readFileSync(settings.tls.authority),
    requestCert: true,
    rejectUnauthorized: false,
  })
  : http.createServer();
server.listen(settings.port, settings.host, () => {
  const issuer = `${settings.tls ? 'https' : 'http'}://${settings.host}:${server.address().port}${PREFIX}`;
  const registered = clients();
  const answer = serve(makeProvider(issuer, registered), registered);
  server.on('request', (req, res) => {
    answer(req, res).catch((error) => {
      console.error(error);
      if (!res.headersSent) sendPage(res, 500, 'Une erreur est survenue', errorBody('Y000000', 'internal error'));
      else res.destroy();
    });
  });
  process.stdout.write(`${JSON.stringify({
    issuer,
    clients: registered.map((client) => ({
      client_id: client.client_id,
      client_secret: client.client_secret ?? '',
      id_token_signed_response_alg: client.id_token_signed_response_alg,
      userinfo_signed_response_alg: client.userinfo_signed_response_alg ?? null,
    })),
  })}\n`);
});
