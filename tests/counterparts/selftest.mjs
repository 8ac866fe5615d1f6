// Does the provider beside this file behave as ProConnect is known to? `node --test selftest.mjs`
// walks it as a browser and a service would, so that a failure of the real suite is not its fault.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { compactVerify, createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';

const CALLBACK = 'http://localhost:4180/oauth2/callback';
const SIGNED_OUT = 'http://localhost:4180/oauth2/signed_out';
const SCOPE = 'openid given_name usual_name email uid siret idp_id roles organization_label';
const long = () => randomBytes(32).toString('base64url');

let provider;
let issuer;
let clients;

/** A provider of our own, with these settings besides the usual ones. */
async function start(more = {}) {
  const settings = { redirect_uris: [CALLBACK], post_logout_redirect_uris: [SIGNED_OUT], ...more };
  const script = new URL('oidc-provider.cjs', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, JSON.stringify(settings)], { stdio: ['ignore', 'pipe', 'ignore'] });
  for await (const line of createInterface({ input: child.stdout })) return { child, ...JSON.parse(line) };
  throw new Error('the provider did not start');
}

before(async () => {
  ({ child: provider, issuer, clients } = await start());
});
after(() => provider.kill());

/** A browser: keeps cookies by path, follows redirects up to the service's own addresses. */
function browser() {
  const jar = new Map();
  return async function go(address, body) {
    let [url, init] = [address, body ? { method: 'POST', body: new URLSearchParams(body) } : {}];
    for (;;) {
      const { pathname } = new URL(url);
      const cookie = [...jar.values()].filter(({ path }) => pathname.startsWith(path)).map(({ pair }) => pair);
      const answer = await fetch(url, { ...init, redirect: 'manual', headers: { cookie: cookie.join('; '), accept: 'text/html' } });
      for (const line of answer.headers.getSetCookie()) {
        const [pair, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        const path = /path=([^;]+)/i.exec(line)?.[1] ?? '/';
        if (value) jar.set(`${name} ${path}`, { pair, path });
        else jar.delete(`${name} ${path}`);
      }
      const location = answer.headers.get('location');
      if (!location) return { status: answer.status, url, text: await answer.text() };
      const next = new URL(location, url);
      if (next.port === '4180') return { status: answer.status, callback: next.searchParams, url: next.href };
      [url, init] = [next.href, {}];
    }
  };
}

function authorization(client, more = {}) {
  const verifier = long();
  const params = {
    response_type: 'code', client_id: client.client_id, redirect_uri: CALLBACK, scope: SCOPE, state: long(), nonce: long(),
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256', ...more,
  };
  return { verifier, params, url: `${issuer}/authorize?${new URLSearchParams(params)}` };
}

const post = (path, fields, headers = {}) => fetch(issuer + path, { method: 'POST', body: new URLSearchParams(fields), headers });

const redeem = (client, code, verifier) => post('/token', {
  grant_type: 'authorization_code', code, redirect_uri: CALLBACK, code_verifier: verifier,
  client_id: client.client_id, client_secret: client.client_secret,
});

const keyFor = (client, alg) => (alg === 'HS256' ? Buffer.from(client.client_secret) : createRemoteJWKSet(new URL(`${issuer}/jwks`)));

const submit = async (go, form, fields) => go(new URL(/action="([^"]+)"/.exec(form.text)[1].replaceAll('&#47;', '/'), form.url).href, fields);

test('discovery is as the federation announces it', async () => {
  const found = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
  assert.equal(found.issuer, issuer);
  assert.equal(found.authorization_endpoint, `${issuer}/authorize`);
  assert.equal(found.end_session_endpoint, `${issuer}/session/end`);
  assert.deepEqual(found.token_endpoint_auth_methods_supported, ['client_secret_post', 'private_key_jwt']);
  assert.deepEqual(found.response_types_supported, ['code']);
  assert.deepEqual(found.code_challenge_methods_supported, ['S256']);
  assert.equal(found.authorization_response_iss_parameter_supported, true);
  assert.deepEqual([...found.userinfo_signing_alg_values_supported].sort(), ['ES256', 'HS256', 'RS256']);
});

for (const alg of ['HS256', 'ES256', 'RS256']) {
  test(`a whole sign-in and sign-out with ${alg}`, async () => {
    const client = clients.find((one) => one.id_token_signed_response_alg === alg);
    const go = browser();
    const { params, url, verifier } = authorization(client);

    const form = await go(url);
    assert.equal(form.status, 200);
    const { callback } = await submit(go, form, {
      email: 'Chloé.test@exemple.gouv.fr'.normalize('NFC'), siret: '130 025 265 00013', acr: 'eidas1-mfa', roles: 'agent_public', action: 'sign-in',
    });
    assert.equal(callback.get('state'), params.state);
    assert.equal(callback.get('iss'), issuer);

    const answer = await redeem(client, callback.get('code'), verifier);
    assert.equal(answer.status, 200);
    const tokens = await answer.json();
    assert.equal(tokens.expires_in, 3600);
    assert.ok(tokens.refresh_token);
    assert.equal(decodeProtectedHeader(tokens.id_token).alg, alg);
    const { payload } = await jwtVerify(tokens.id_token, keyFor(client, alg), { issuer, audience: client.client_id });
    assert.equal(payload.nonce, params.nonce);
    assert.ok(payload.at_hash && payload.auth_time);
    assert.equal(payload.email, undefined, 'no e-mail in the ID token');

    const userinfo = await fetch(`${issuer}/userinfo`, { headers: { authorization: `Bearer ${tokens.access_token}` } });
    let claims;
    if (client.userinfo_signed_response_alg) {
      assert.match(userinfo.headers.get('content-type'), /^application\/jwt/);
      ({ payload: claims } = await jwtVerify(await userinfo.text(), keyFor(client, alg), { issuer, audience: client.client_id }));
    } else {
      assert.match(userinfo.headers.get('content-type'), /^application\/json/);
      claims = await userinfo.json();
    }
    assert.equal(claims.sub, payload.sub);
    assert.equal(claims.email, 'Chloé.test@exemple.gouv.fr');
    assert.equal(claims.siret, '13002526500013');
    assert.deepEqual(claims.roles, ['agent_public']);
    assert.equal(claims.phone_number, undefined, 'not asked for');

    const refreshed = await post('/token', {
      grant_type: 'refresh_token', refresh_token: tokens.refresh_token, client_id: client.client_id, client_secret: client.client_secret,
    });
    assert.equal(refreshed.status, 200);

    const state = long();
    const out = new URLSearchParams({ id_token_hint: tokens.id_token, post_logout_redirect_uri: SIGNED_OUT, state });
    const leaving = await go(`${issuer}/session/end?${out}`);
    assert.match(leaving.text, /submit\(\)/);
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(leaving.text)[1];
    const gone = await go(`${issuer}/session/end/confirm`, { xsrf, logout: 'yes' });
    assert.equal(gone.url, `${SIGNED_OUT}?state=${state}`);

    const late = await fetch(`${issuer}/userinfo`, { headers: { authorization: `Bearer ${tokens.access_token}` } });
    assert.equal(late.status, 401, 'userinfo needs the session');
    const again = await post('/token', {
      grant_type: 'refresh_token', refresh_token: tokens.refresh_token, client_id: client.client_id, client_secret: client.client_secret,
    });
    assert.equal((await again.json()).error, 'invalid_grant');
  });
}

test('a login_hint signs in without a page, and the session is reused without one', async () => {
  const [client] = clients;
  const go = browser();
  const hinted = await go(authorization(client, { login_hint: 'agent.un@exemple.gouv.fr' }).url);
  assert.ok(hinted.callback.get('code'));
  assert.ok((await go(authorization(client).url)).callback.get('code'), 'reused');
  assert.ok((await go(authorization(client, { prompt: 'none' }).url)).callback.get('code'), 'silent');
  assert.equal((await go(authorization(client, { login_hint: 'autre@exemple.gouv.fr' }).url)).callback.get('code').length > 0, true);
  assert.equal((await go(authorization(client, { acr_values: 'eidas2' }).url)).status, 200, 'eidas2 always asks anew');
});

test('with asks a login_hint is what the form proposes, and the form says how long ago the proof was', async () => {
  const asking = await start({ asks: true });
  try {
    const [client] = asking.clients;
    const go = browser();
    const { params, verifier } = authorization(client, { login_hint: 'agent.un@exemple.gouv.fr' });
    const form = await go(`${asking.issuer}/authorize?${new URLSearchParams(params)}`);
    assert.equal(form.status, 200);
    assert.ok(form.text.includes('value="agent.un@exemple.gouv.fr"'), form.text);
    const { callback } = await submit(go, form, { email: 'agent.un@exemple.gouv.fr', minutes_ago: '30', action: 'sign-in' });
    const answer = await fetch(`${asking.issuer}/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'authorization_code', code: callback.get('code'), redirect_uri: CALLBACK, code_verifier: verifier,
        client_id: client.client_id, client_secret: client.client_secret,
      }),
    });
    const claims = JSON.parse(Buffer.from((await answer.json()).id_token.split('.')[1], 'base64url'));
    assert.ok(Math.abs(Date.now() / 1000 - 1800 - claims.auth_time) < 60, claims.auth_time);
  } finally {
    asking.child.kill();
  }
});

test('two tabs sign in side by side', async () => {
  const [client] = clients;
  const go = browser();
  const [first, second] = [await go(authorization(client).url), await go(authorization(client).url)];
  for (const form of [second, first]) {
    const { callback, text } = await submit(go, form, { email: 'agent@exemple.gouv.fr', action: 'sign-in' });
    assert.ok(callback?.get('code'), text);
  }
});

test('prompt=none without a session is login_required', async () => {
  const { callback } = await browser()(authorization(clients[0], { prompt: 'none' }).url);
  assert.equal(callback.get('error'), 'login_required');
  assert.equal(callback.get('iss'), issuer);
});

test('an essential acr is met, or access is denied', async () => {
  const claims = JSON.stringify({ id_token: { acr: { essential: true, values: ['eidas1-mfa', 'eidas2'] }, amr: null } });
  const [client] = clients;
  const met = browser();
  const { url, verifier } = authorization(client, { claims });
  const { callback } = await submit(met, await met(url), { email: 'agent@exemple.gouv.fr', acr: 'eidas1-mfa', action: 'sign-in' });
  const { id_token } = await (await redeem(client, callback.get('code'), verifier)).json();
  const payload = JSON.parse(new TextDecoder().decode((await compactVerify(id_token, keyFor(client, 'HS256'))).payload));
  assert.equal(payload.acr, 'eidas1-mfa');
  assert.deepEqual(payload.amr, ['pwd', 'otp', 'mfa']);

  const unmet = browser();
  const denied = await submit(unmet, await unmet(url), { email: 'agent@exemple.gouv.fr', acr: 'eidas0', action: 'sign-in' });
  assert.equal(denied.callback.get('error'), 'access_denied');
});

test('the form can be refused, and an unknown idp_hint is', async () => {
  const go = browser();
  const refused = await submit(go, await go(authorization(clients[0]).url), { action: 'refuse' });
  assert.equal(refused.callback.get('error'), 'access_denied');
  const { callback } = await browser()(authorization(clients[0], { idp_hint: 'nobody' }).url);
  assert.equal(callback.get('error'), 'idp_hint_not_found');
});

test('a scope that the client is not entitled to is invalid_scope', async () => {
  const { callback } = await browser()(authorization(clients[0], { scope: 'openid siren' }).url);
  assert.equal(callback.get('error'), 'invalid_scope');
});

test('mistakes of the service are pages, not redirects', async () => {
  const wrong = [
    { state: 'short' }, { nonce: 'short' }, { login_hint: 'nobody' }, { siret_hint: '123' }, { prompt: 'select_account' },
    { redirect_uri: `${CALLBACK}/` }, { client_id: 'unknown' },
  ];
  for (const more of wrong) {
    const { status, text } = await browser()(authorization(clients[0], more).url);
    assert.equal(status, 400, JSON.stringify(more));
    assert.match(text, /id="error-code"/);
  }
  for (const query of [{}, { state: 'short' }, { state: long(), client_id: clients[0].client_id, post_logout_redirect_uri: `${SIGNED_OUT}?a=1` }]) {
    assert.equal((await browser()(`${issuer}/session/end?${new URLSearchParams(query)}`)).status, 400, JSON.stringify(query));
  }
  assert.equal((await post('/session/end', { state: long() })).status, 404, 'sign-out is GET only');
});

test('client_secret_basic is refused, and a wrong secret is', async () => {
  const [client] = clients;
  const { url, verifier } = authorization(client, { login_hint: 'agent@exemple.gouv.fr' });
  const code = (await browser()(url)).callback.get('code');
  const basic = Buffer.from(`${client.client_id}:${client.client_secret}`).toString('base64');
  const answer = await post('/token', { grant_type: 'authorization_code', code, redirect_uri: CALLBACK, code_verifier: verifier }, { authorization: `Basic ${basic}` });
  assert.equal(answer.status, 401);
  assert.equal((await answer.json()).error, 'invalid_client');
  assert.equal((await redeem({ ...client, client_secret: 'wrong' }, code, verifier)).status, 401);
  assert.equal((await redeem(client, code, verifier)).status, 200);
  assert.equal((await (await redeem(client, code, verifier)).json()).error, 'invalid_grant', 'a code is used once');
});

test('as the federation is set up, nobody is told of a sign-out and refresh tokens last', async () => {
  const found = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
  assert.equal(found.backchannel_logout_supported, undefined);
  assert.equal(found.revocation_endpoint, `${issuer}/token/revocation`);
});

test('as a stricter provider: rotation, theft, revocation and back-channel logout', async (t) => {
  const received = [];
  const listener = createServer(async (req, res) => {
    let body = '';
    for await (const chunk of req) body += chunk;
    received.push({ type: req.headers['content-type'], form: new URLSearchParams(body) });
    res.writeHead(200, { 'cache-control': 'no-store' }).end();
  });
  await new Promise((ready) => { listener.listen(0, '127.0.0.1', ready); });
  const backchannel_logout_uri = `http://127.0.0.1:${listener.address().port}/backchannel_logout`;
  const strict = await start({ backchannel_logout_uri, access_token_ttl: 2, rotate_always: true });
  const former = issuer;
  issuer = strict.issuer;
  t.after(() => {
    issuer = former;
    listener.close();
    strict.child.kill();
  });
  const found = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
  assert.equal(found.backchannel_logout_supported, true);
  assert.equal(found.backchannel_logout_session_supported, true);
  const counters = async () => (await fetch(new URL('/control/counters', issuer))).json();
  const client = strict.clients.find((one) => one.id_token_signed_response_alg === 'ES256');
  const authenticated = { client_id: client.client_id, client_secret: client.client_secret };
  const refresh = async (refresh_token) => (await post('/token', { grant_type: 'refresh_token', refresh_token, ...authenticated })).json();
  const read = async (token, more) => (await jwtVerify(token, keyFor(client, 'ES256'), { issuer, audience: client.client_id, ...more })).payload;
  const signIn = async (go) => {
    const { url, verifier, params } = authorization(client, { login_hint: 'agent@exemple.gouv.fr' });
    const tokens = await (await redeem(client, (await go(url)).callback.get('code'), verifier)).json();
    return { ...tokens, nonce: params.nonce };
  };

  // Every refresh token is good once; a refreshed ID token has the same nonce, sid and auth_time.
  const go = browser();
  const first = await signIn(go);
  assert.equal(first.expires_in, 2);
  const before = await read(first.id_token);
  assert.ok(before.sid);
  const second = await refresh(first.refresh_token);
  const renewed = await read(second.id_token);
  assert.notEqual(second.refresh_token, first.refresh_token);
  assert.deepEqual([renewed.sub, renewed.sid, renewed.auth_time, renewed.nonce], [before.sub, before.sid, before.auth_time, first.nonce]);
  assert.equal((await refresh(first.refresh_token)).error, 'invalid_grant', 'a theft');
  assert.equal((await refresh(second.refresh_token)).error, 'invalid_grant', 'and the end of the grant');
  const { refreshed, refresh_reuse } = await counters();
  assert.deepEqual({ refreshed, refresh_reuse }, { refreshed: 1, refresh_reuse: 1 });

  // A refresh token that is given back is void.
  const third = await signIn(go);
  assert.equal((await post('/token/revocation', { token: third.refresh_token, token_type_hint: 'refresh_token', ...authenticated })).status, 200);
  assert.equal((await refresh(third.refresh_token)).error, 'invalid_grant');
  assert.equal((await counters()).revocation, 1);

  // A sign-out is posted to the client, by sid and sub, before the browser goes back.
  const fourth = await signIn(go);
  const { sid, sub } = await read(fourth.id_token);
  const out = new URLSearchParams({ id_token_hint: fourth.id_token, post_logout_redirect_uri: SIGNED_OUT, state: long() });
  const leaving = await go(`${issuer}/session/end?${out}`);
  await go(`${issuer}/session/end/confirm`, { xsrf: /name="xsrf" value="([^"]+)"/.exec(leaving.text)[1], logout: 'yes' });
  assert.equal(received.length, 1);
  assert.match(received[0].type, /^application\/x-www-form-urlencoded/);
  const token = received[0].form.get('logout_token');
  assert.equal(decodeProtectedHeader(token).typ, 'logout+jwt');
  const logout = await read(token);
  assert.deepEqual([logout.sid, logout.sub, logout.nonce, logout.exp], [sid, sub, undefined, undefined]);
  assert.deepEqual(logout.events, { 'http://schemas.openid.net/event/backchannel-logout': {} });
  assert.ok(logout.jti && logout.iat);

  // Everywhere: every client hears of the person, and of no session in particular.
  const fifth = await signIn(browser());
  const everywhere = await fetch(new URL('/control/sign-out', issuer), { method: 'POST', body: JSON.stringify({ sub }) });
  assert.deepEqual(await everywhere.json(), { told: 3 });
  assert.equal(received.length, 4);
  const tokens = received.slice(1).map(({ form }) => JSON.parse(Buffer.from(form.get('logout_token').split('.')[1], 'base64url')));
  for (const told of tokens) assert.deepEqual([told.sub, told.sid], [sub, undefined]);
  assert.equal((await refresh(fifth.refresh_token)).error, 'invalid_grant');
  assert.equal((await counters()).logout_tokens, 4);
});
