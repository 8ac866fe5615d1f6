"""An ordinary FastAPI application, which knows nothing of what stands in front of it.

    uvicorn --app-dir tests/counterparts fastapi_app:app --host 127.0.0.1 --port 0
    uvicorn --app-dir tests/counterparts fastapi_app:app --uds /run/app.sock

It answers with what it received, and streams in every way that such applications stream.
"""

import asyncio
import hashlib
from collections import Counter

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

app = FastAPI(title="Counterpart")

# Streams that are open now, by kind: a client that leaves must be seen to leave.
open_streams: Counter[str] = Counter()


def received(scope: dict) -> list[tuple[str, str]]:
    """Every header as it came: duplicates and order kept, bytes shown as Latin-1."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]


@app.api_route("/", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@app.api_route("/echo/{rest:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def request_as_received(request: Request) -> JSONResponse:
    """The request line, the client's address and the headers."""
    return JSONResponse(
        {
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.scope["raw_path"].decode("latin-1"),
            "query": request.scope["query_string"].decode("latin-1"),
            "client": request.client.host if request.client else None,
            "headers": received(request.scope),
        }
    )


@app.get("/health")
async def health() -> dict[str, str]:
    """For a route that needs no sign-in."""
    return {"status": "ok"}


@app.get("/whoami")
async def whoami(request: Request) -> JSONResponse:
    """Who is signed in, told the way such applications read it; 401 where nobody is."""
    email = request.headers.get("x-auth-request-email")
    if email is None:
        return JSONResponse({"detail": "nobody is signed in"}, status_code=401)
    return JSONResponse(
        {
            "email": email,
            "user": request.headers.get("x-auth-request-user"),
            "name": request.headers.get("x-auth-request-preferred-username"),
            "groups": [group for group in request.headers.get("x-auth-request-groups", "").split(",") if group],
        }
    )


@app.get("/page")
async def page() -> HTMLResponse:
    """A page with a live WebSocket and a live event stream, for a real browser."""
    return HTMLResponse(PAGE)


@app.websocket("/ws")
async def echo(socket: WebSocket) -> None:
    """Sends the headers of the handshake, then everything back, text as text and bytes as bytes."""
    offered = socket.scope.get("subprotocols") or [None]
    await socket.accept(subprotocol=offered[0])
    open_streams["sockets"] += 1
    try:
        await socket.send_json({"headers": received(socket.scope)})
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                break
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        pass
    finally:
        open_streams["sockets"] -= 1


@app.get("/events")
async def events(count: int = 0, interval: float = 0.1) -> StreamingResponse:
    """An event stream: `count` events, or without end."""

    async def stream():
        open_streams["events"] += 1
        try:
            number = 0
            while count == 0 or number < count:
                number += 1
                yield f"id: {number}\ndata: event {number}\n\n"
                await asyncio.sleep(interval)
        finally:
            open_streams["events"] -= 1

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})


@app.api_route("/upload", methods=["POST", "PUT"])
async def upload(request: Request) -> dict[str, int | str]:
    """Reads the body piece by piece and tells how much came, its digest and how many pieces."""
    digest, size, pieces = hashlib.sha256(), 0, 0
    open_streams["uploads"] += 1
    try:
        async for piece in request.stream():
            digest.update(piece)
            size += len(piece)
            pieces += bool(piece)
    finally:
        open_streams["uploads"] -= 1
    return {"size": size, "sha256": digest.hexdigest(), "pieces": pieces}


@app.get("/download")
async def download(bytes: int, piece: int = 65536, length: bool = False) -> StreamingResponse:
    """`bytes` bytes of a known pattern, in pieces; with a Content-Length where `length` says so."""

    async def stream():
        open_streams["downloads"] += 1
        try:
            pattern = b"0123456789abcdef" * (piece // 16 + 1)
            left = bytes
            while left > 0:
                part = pattern[: min(piece, left)]
                left -= len(part)
                yield part
        finally:
            open_streams["downloads"] -= 1

    headers = {"content-length": str(bytes)} if length else {}
    return StreamingResponse(stream(), media_type="application/octet-stream", headers=headers)


@app.get("/slow-first-byte")
async def slow_first_byte(seconds: float = 1.0) -> dict[str, float]:
    """Thinks before it says anything at all, as a language model does."""
    await asyncio.sleep(seconds)
    return {"waited": seconds}


@app.get("/streams")
async def streams() -> dict[str, int]:
    """How many streams of each kind are open now."""
    return {kind: open_streams[kind] for kind in ("sockets", "events", "uploads", "downloads")}


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Counterpart</title></head>
<body>
<p>Signed in as <output id="email">…</output></p>
<p>WebSocket: <output id="socket">closed</output>, handshake for <output id="socket-email">…</output></p>
<p>Events: <output id="events">0</output></p>
<script>
const show = (id, text) => { document.getElementById(id).textContent = text; };
fetch('/whoami').then((answer) => answer.json()).then((person) => show('email', person.email ?? 'nobody'));
const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
socket.onmessage = ({ data }) => {
  if (data === 'hello') { show('socket', 'open'); return; }
  const email = JSON.parse(data).headers.find(([name]) => name === 'x-auth-request-email');
  show('socket-email', email ? email[1] : 'nobody');
  socket.send('hello');
};
socket.onclose = ({ code }) => show('socket', `closed ${code}`);
let events = 0;
new EventSource('/events').onmessage = () => show('events', events += 1);
</script>
</body></html>
"""
