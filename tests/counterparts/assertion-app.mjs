// The application of assertion_app.py in Node, by the verifier that the documentation shows.
//
//   ISSUER=… AUDIENCE=… JWKS_URL=… node assertion-app.mjs /run/app.sock

import { createServer } from 'node:http';
import { assertion } from '../../deploy/assertion/vestibule-assertion.mjs';

const { ISSUER: issuer, AUDIENCE: audience, JWKS_URL: jwksUrl } = process.env;
const who = assertion({ issuer, audience, jwksUrl });

createServer(async (request, response) => {
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  try {
    answer(200, { claims: await who(request), assertion: request.headers['x-vestibule-assertion'] });
  } catch (error) {
    answer(401, { detail: error.message });
  }
}).listen(process.argv[2], () => console.log('listening'));
