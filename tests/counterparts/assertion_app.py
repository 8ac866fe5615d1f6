"""A FastAPI application that takes nobody's word but a signed assertion's, by the verifier that the
documentation shows.

    ISSUER=… AUDIENCE=… JWKS_URL=… uvicorn assertion_app:app --uds /run/app.sock

It answers with the claims, and with the assertion itself, which no
application should.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Request

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy/assertion"))
from vestibule_assertion import Assertion  # noqa: E402

app = FastAPI(title="Assertion")
who = Assertion(os.environ["ISSUER"], os.environ["AUDIENCE"], os.environ["JWKS_URL"])


@app.api_route("/{rest:path}", methods=["GET", "POST", "DELETE"])
def anything(request: Request, claims: Annotated[dict, Depends(who)]) -> dict:
    return {"claims": claims, "assertion": request.headers["x-vestibule-assertion"]}
