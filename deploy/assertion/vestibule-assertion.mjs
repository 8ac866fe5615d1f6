// Who sent a request, verified: Vestibule's signed assertion in a Node application, with nothing
// but Node itself (18 or newer). Copy this file beside the application, and then:
//
//   const who = assertion({ issuer: 'https://app.example.gouv.fr', audience: 'app',
//                           jwksUrl: 'https://app.example.gouv.fr/oauth2/jwks' });
//   const claims = await who(request);   // throws where it does not count: answer 401

import { createHash, createPublicKey, verify } from 'node:crypto';

const KEPT_FOR = 300_000; // milliseconds
const AT_MOST_EVERY = 5_000; // for keys that are not there
const LEEWAY = 5; // seconds
const DIGESTS = { ES256: 'sha256', EdDSA: null };

export function assertion({ issuer, audience, jwksUrl, header = 'x-vestibule-assertion' }) {
  let keys = new Map();
  let fetchedAt = -Infinity;

  async function keyOf(kid) {
    const age = Date.now() - fetchedAt;
    if (age > KEPT_FOR || (!keys.has(kid) && age > AT_MOST_EVERY)) {
      const answer = await fetch(jwksUrl);
      if (!answer.ok) throw new Error(`the keys cannot be had: ${answer.status}`);
      keys = new Map((await answer.json()).keys.map((jwk) => [jwk.kid, jwk]));
      fetchedAt = Date.now();
    }
    const jwk = keys.get(kid);
    if (!jwk) throw new Error('the assertion is signed by an unknown key');
    return jwk;
  }

  return async function verified(request) {
    // Node joins several headers of one name with commas, which no JWT has.
    const parts = (request.headers[header.toLowerCase()] ?? '').split('.');
    if (parts.length !== 3) throw new Error('no assertion, or more than one');
    const [head, claims] = parts.slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
    const jwk = await keyOf(head.kid);
    // By the algorithm of the key, whatever the header would like.
    if (!(jwk.alg in DIGESTS) || head.alg !== jwk.alg) throw new Error('the assertion has another algorithm');
    if (head.typ !== 'vestibule-assertion+jwt') throw new Error('it is signed for another purpose');
    const key = { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
    const signed = Buffer.from(`${parts[0]}.${parts[1]}`);
    if (!verify(DIGESTS[jwk.alg], signed, key, Buffer.from(parts[2], 'base64url'))) {
      throw new Error('the signature of the assertion is wrong');
    }
    if (claims.iss !== issuer || claims.aud !== audience) throw new Error('it is from or for somebody else');
    const now = Date.now() / 1000;
    if (!(claims.exp + LEEWAY > now && claims.iat - LEEWAY < now)) throw new Error('the assertion is out of date');
    // It is for this request, and no other.
    const host = request.headers.host.replace(/:\d+$/, '').replace(/\.$/, '').toLowerCase();
    const target = request.url.replace(/^([^?]*)\?$/, '$1');
    const hash = createHash('sha256').update(target, 'latin1').digest('base64url');
    if (claims.htm !== request.method || claims.host !== host || claims.target_hash !== hash) {
      throw new Error('it is for another request');
    }
    return claims;
  };
}
