"""Who sent a request, verified: Vestibule's signed assertion in a FastAPI application.

Needs `pip install "pyjwt[crypto]"`. Copy this file beside the application, and then:

    who = Assertion(issuer="https://app.example.gouv.fr", audience="app",
                    jwks_url="https://app.example.gouv.fr/oauth2/jwks")

    @app.get("/documents")
    def documents(claims: Annotated[dict, Depends(who)]): ...
"""

import base64
import hashlib

import jwt
from fastapi import HTTPException, Request


class Assertion:
    """A dependency that gives the claims of the assertion, or answers 401."""

    def __init__(self, issuer: str, audience: str, jwks_url: str, header: str = "X-Vestibule-Assertion"):
        self.issuer, self.audience, self.header = issuer, audience, header
        # Asked for keys when they are five minutes old, and when a `kid` is not among them.
        self.keys = jwt.PyJWKClient(jwks_url, lifespan=300)

    # Not `async`: FastAPI calls it on a thread of its own, where it may wait for the keys.
    def __call__(self, request: Request) -> dict:
        values = request.headers.getlist(self.header)
        if len(values) != 1:
            raise HTTPException(401, "no assertion, or more than one")
        try:
            return self.verified(values[0], request)
        except jwt.PyJWTError as error:
            raise HTTPException(401, f"the assertion does not count: {error}") from error

    def verified(self, assertion: str, request: Request) -> dict:
        key = self.keys.get_signing_key_from_jwt(assertion)
        whole = jwt.decode_complete(
            assertion,
            key,
            # Never the algorithms of shared secrets: a public key is no secret.
            algorithms=["ES256", "EdDSA"],
            issuer=self.issuer,
            audience=self.audience,
            leeway=5,
            options={"require": ["iss", "aud", "iat", "exp", "htm", "host", "target_hash"]},
        )
        if whole["header"].get("typ") != "vestibule-assertion+jwt":
            raise jwt.InvalidTokenError("it is signed for another purpose")
        claims = whole["payload"]
        # It is for this request, and no other.
        target = request.scope["raw_path"]
        if request.scope["query_string"]:
            target += b"?" + request.scope["query_string"]
        target_hash = base64.urlsafe_b64encode(hashlib.sha256(target).digest()).rstrip(b"=").decode()
        said = (claims["htm"], claims["host"], claims["target_hash"])
        host = (request.url.hostname or "").rstrip(".")
        if said != (request.method, host, target_hash):
            raise jwt.InvalidTokenError("it is for another request")
        return claims
