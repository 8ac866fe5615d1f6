"""The back-end of the Angular front-ends in `angular/`, which knows nothing of what stands in front of it.

    FRONT=tests/counterparts/angular/dist/bff uvicorn --app-dir tests/counterparts browser_app:app

Its API is below `PREFIX` (`/api` by default; empty where somebody in front strips it), and with `FRONT`
it hands out the files of that folder, and its `index.html` for every other path, with `?caching=` as their `Cache-Control`. Who is asking is in
the identity headers; without them it answers 401. What changes something it takes with the pair
`XSRF-TOKEN` and `X-XSRF-TOKEN` alone, which Angular knows, unless `XSRF=off`.
"""

import asyncio
import os
import secrets
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import FileResponse, StreamingResponse

app = FastAPI(title="Browser app")
api = APIRouter(prefix=os.environ.get("PREFIX", "/api"))


def person(request: Request) -> str:
    email = request.headers.get("x-auth-request-email")
    if email is None:
        raise HTTPException(status_code=401)
    return email


def own_page(request: Request) -> None:
    if os.environ.get("XSRF") == "off":
        return
    cookie = request.cookies.get("XSRF-TOKEN", "")
    header = request.headers.get("x-xsrf-token", "")
    if not cookie or not secrets.compare_digest(cookie.encode(), header.encode()):
        raise HTTPException(status_code=403)


@api.get("/chat")
async def chat(request: Request, response: Response, user: str = Depends(person)) -> dict[str, str]:
    if "XSRF-TOKEN" not in request.cookies:
        response.set_cookie("XSRF-TOKEN", secrets.token_urlsafe(16), path="/", samesite="lax")
    scheme = request.headers.get("authorization", "").split(" ")[0]
    return {"chat": "ok", "user": user, "authorization": scheme}


@api.post("/chat", dependencies=[Depends(person), Depends(own_page)])
async def say(message: dict[str, str]) -> dict[str, str]:
    return {"received": message["message"]}


@api.get("/analytics")
async def analytics(user: str = Depends(person)) -> dict[str, str]:
    return {"analytics": "ok", "user": user}


@api.websocket("/ws")
async def socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(socket.headers.get("x-auth-request-email", "nobody"))
    async for _ in socket.iter_text():
        pass


@api.get("/events")
async def events(user: str = Depends(person)) -> StreamingResponse:
    async def stream():
        while True:
            yield f"data: {user}\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(stream(), media_type="text/event-stream")


app.include_router(api)

if front := os.environ.get("FRONT"):

    @app.get("/{path:path}")
    async def file(path: str, caching: str = "") -> FileResponse:
        root = Path(front).resolve()
        found = (root / path).resolve()
        is_there = found.is_relative_to(root) and found.is_file()
        headers = {"cache-control": caching} if caching else None
        return FileResponse(found if is_there else root / "index.html", headers=headers)
