"""The application: operations as routes, events as they come, the page's files.

It holds no logic of its own: what an operation does stands in its own module.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from importlib.resources import files
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from mxlab.board.board import Board
from mxlab.board.endpoint import PREFIX, Operation, RawReply
from mxlab.board.guard import POLICY, Guard
from mxlab.board.metrics import metrics
from mxlab.board.openapi import openapi
from mxlab.board.operations import OPERATIONS
from mxlab.board.replaylab import not_of
from mxlab.board.terminals import xterm
from mxlab.board.troubles import encoded, told_well, trouble
from mxlab.errors import EnvironmentProblem

AT_A_TIME = 500  # events that are written to a viewer at once
BREATH = 0.02  # real seconds between two such writes: what comes meanwhile goes with the next
PULSE = 15.0  # real seconds of silence after which a viewer is told that we are there
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}  # of the page's files
_XTERM = ("xterm.js", "xterm.css")
# xterm.js writes style elements of its own: the frame that it has to itself may do that.
_FRAME = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "frame-ancestors 'none'", "frame-ancestors 'self'"
)
_NO_BODY = ("GET", "DELETE")


def application(board: Board, token: str, hosts: Iterable[str], base: str = "") -> Any:
    """The ASGI application for a board. `hosts`, `base`: as of Guard."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(board.live())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            if board.terminals is not None:
                await board.terminals.end_all()

    routes = [
        Route(f"{PREFIX}/openapi.json", _document(base), methods=["GET"]),
        Route(f"{PREFIX}/events", _events(board), methods=["GET"]),
        Route("/metrics", _metrics(board), methods=["GET"]),
        Route("/", _file, methods=["GET"]),
        Route("/page/{name}", _file, methods=["GET"]),
        *_sockets(board),
        *(Route(PREFIX + op.path, _route(board, op), methods=[op.method]) for op in _exact_first()),
    ]
    app = Starlette(
        routes=routes, lifespan=lifespan, exception_handlers={404: _nothing, 405: _nothing}
    )
    return Guard(app, token, hosts, base)


def _sockets(board: Board) -> list[WebSocketRoute]:
    if board.terminals is None:
        return []
    return [WebSocketRoute(f"{PREFIX}/terminals/{{name}}/socket", board.terminals.serve)]


def _exact_first() -> list[Operation[Any, Any]]:
    """Paths without a name in them come before those with one."""
    return sorted(OPERATIONS, key=lambda op: len(op.in_path))


def _route(board: Board, op: Operation[Any, Any]) -> Callable[[Request], Any]:
    @told_well
    async def handle(request: Request) -> Response:
        asked = await _asked(request, op)
        if board.kind not in op.of:
            raise not_of(board.kind)
        reply = await op.handler(board, asked)
        if isinstance(reply, RawReply):
            return Response(reply.content, media_type=reply.media_type, headers=reply.headers)
        return Response(encoded(reply), media_type="application/json")

    return handle


async def _asked(request: Request, op: Operation[Any, Any]) -> Any:
    """What the request asks for. Raises ValidationError, DecodeError."""
    given: dict[str, Any] = {}
    if op.method in _NO_BODY or not op.has_body:
        for name in request.query_params:
            if len(request.query_params.getlist(name)) > 1:
                raise msgspec.ValidationError(f"{name} stands there twice")
            given[name] = request.query_params[name]
        return msgspec.convert(given | request.path_params, op.asks, strict=False)
    body = await request.body()
    found = msgspec.json.decode(body) if body else {}
    if not isinstance(found, dict):
        raise msgspec.ValidationError("expected a JSON object")
    for name in op.in_path:
        if name in found:
            raise msgspec.ValidationError(f"{name} stands in the path")
    return msgspec.convert(found | request.path_params, op.asks)


async def _nothing(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    if status == 405:
        allow = dict(getattr(error, "headers", None) or {})
        reply = trouble(405, f"{request.method} is not for this path")
        reply.headers.update(allow)
        return reply
    return trouble(404, "there is nothing here", f"{PREFIX}/openapi.json says what there is")


async def _file(request: Request) -> Response:
    """One of the page's own files; no other name leads anywhere."""
    name = request.path_params.get("name", "index.html")
    kind = _KINDS.get(name.rpartition(".")[2])
    found = {file.name: file for file in files("mxlab.board").joinpath("page").iterdir()}
    if kind is None or name not in {*found, *_XTERM}:
        return trouble(404, "there is nothing here")
    try:
        content = found[name].read_bytes() if name in found else xterm()[name].read_bytes()
    except EnvironmentProblem as error:
        return trouble(404, str(error), error.hint)
    headers = {"content-security-policy": _FRAME} if name == "terminal.html" else None
    return Response(content, media_type=kind, headers=headers)


def _document(base: str) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        return Response(encoded(openapi(base)), media_type="application/json")

    return handle


def _metrics(board: Board) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        text = metrics(board.feed.figures, board.name, up=board.is_up)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return handle


def _events(board: Board) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        given = request.headers.get("last-event-id") or request.query_params.get("after")
        if given is not None and not (given.isascii() and given.isdecimal() and len(given) < 16):
            return trouble(400, "`after` is the number of an event")
        after = board.feed.last if given is None else min(int(given), board.feed.last)
        return StreamingResponse(
            _stream(board, after),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )

    return handle


async def _stream(board: Board, after: int) -> AsyncIterator[bytes]:
    """Server-sent events; who is too slow is told how many were missed."""
    state = b"up" if board.is_up else b"down"
    yield b'retry: 1000\nevent: state\nid: %d\ndata: {"lab":"%s"}\n\n' % (after, state)
    while True:
        batch = board.feed.after(after, AT_A_TIME)
        if batch.missed:
            after += batch.missed
            yield b'event: gap\nid: %d\ndata: {"missed":%d}\n\n' % (after, batch.missed)
        if batch.told:
            after = batch.told[-1].number
            yield b"".join(
                b"event: %s\nid: %d\ndata: %s\n\n" % (one.kind.encode(), one.number, one.data)
                for one in batch.told
            )
            await asyncio.sleep(BREATH)
            continue
        try:
            async with asyncio.timeout(PULSE):
                await board.feed.more(after)
        except TimeoutError:
            yield b": here\n\n"
