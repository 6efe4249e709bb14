"""Who may ask, how much, and how slowly: what stands before everything else.

A page of another site that a viewer has open may send requests here: so Host and Origin are
checked, and every request needs the token. It comes in the address once, then in a cookie that no
script can read, or, of programs and of a proxy in front, as a bearer token.
"""

import asyncio
import hmac
import http.cookies
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mxlab.board.views import Trouble

COOKIE = "mxlab_board"
LARGEST = 12_000_000  # bytes of a body
SLOWEST = 20.0  # real seconds in which a whole body has to come
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class BadBody(Exception):
    """A body that is not read to its end: the status that says so, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Guard:
    """ASGI before the application. `hosts` are the names by which this server may be called, with
    the port; compared without regard to case. `base`: the path below which a proxy has it, as
    `/seat/7`, or nothing; whether the proxy takes it off, or passes it on, is all the same."""

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str], base: str = "") -> None:
        self._app, self._token, self._base = app, token, base
        self._hosts = {host.casefold() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers, path = headers_of(scope), scope["path"]
        if self._base and path.startswith(f"{self._base}/"):
            scope = {**scope, "path": path.removeprefix(self._base)}
        if scope["type"] == "websocket":
            await self._socket(scope, headers, receive, send)
        elif wrong := self._stranger(headers):
            await refuse(send, 403, wrong)
        elif self._shown(scope):
            await _admit(scope, send, self._token, self._base)
        elif self._base and path == self._base:
            await _lead(send, f"{self._base}/")
        elif not self._known(headers):
            hint = (
                "open the address that `mxlab board` printed, or send its token as a bearer token"
            )
            await refuse(send, 401, Trouble("no token, or a wrong one", hint))
        else:
            await self._pass_on(scope, receive, send)

    async def _socket(
        self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send
    ) -> None:
        """A WebSocket is opened by whom it may be, else refused with 403. No rule of the browser
        keeps a page of another site from opening one: only what says where the page is from."""
        bearer = headers.get("authorization", "").casefold().startswith("bearer ")
        of_page = "origin" in headers or bearer
        if of_page and self._known(headers) and not self._stranger(headers):
            await self._app(scope, receive, send)
            return
        await receive()  # its opening
        await send({"type": "websocket.close", "code": 1008})

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = with_defaults(message.get("headers", []))
            await send(message)

        await self._app(scope, Bounded(receive).receive, answer)

    def _stranger(self, headers: dict[str, str]) -> Trouble | None:
        host = headers.get("host", "").casefold()
        if host not in self._hosts:
            return Trouble("this is not the host that you asked for", "open the printed address")
        origin = headers.get("origin")
        if origin is not None and _place(origin) not in (host, *self._hosts):
            return Trouble("a page of another origin may not ask here")
        site = headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate":
            return Trouble("a page of another origin may not ask here")
        return None

    def _shown(self, scope: Scope) -> bool:
        """Whether the token stands in the address, as it does once."""
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        return scope["method"] == "GET" and self._right(query.get("token", ""))

    def _known(self, headers: dict[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.casefold() == "bearer" and self._right(given.strip()):
            return True
        jar: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        try:
            jar.load(headers.get("cookie", ""))
        except http.cookies.CookieError:
            return False
        return COOKIE in jar and self._right(jar[COOKIE].value)

    def _right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())


class Bounded:
    """A request's body: no larger (`most` bytes) and no slower than allowed, else BadBody."""

    def __init__(self, receive: Receive, most: int = LARGEST) -> None:
        self._receive, self._left, self._deadline = receive, most, 0.0
        self._over = False

    async def receive(self) -> Message:
        if self._over:  # what comes now is the word that the viewer has gone
            return await self._receive()
        loop = asyncio.get_running_loop()
        self._deadline = self._deadline or loop.time() + SLOWEST
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            raise BadBody(408, "the body came too slowly") from error
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise BadBody(413, "the body is too large")
        self._over = not message.get("more_body", False)
        return message


def headers_of(scope: Scope) -> dict[str, str]:
    """A request's header fields, their names in small letters."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def with_defaults(given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers, with those for safety where the reply has none of its own."""
    found = list(given)
    names = {name.lower() for name, _ in found}
    defaults = _HEADERS | {"content-security-policy": POLICY, "cache-control": "no-store"}
    for name, value in defaults.items():
        if name.encode() not in names:
            found.append((name.encode(), value.encode()))
    return found


async def refuse(send: Send, status: int, why: Trouble) -> None:
    """Answer with that trouble."""
    body = msgspec.json.encode(why)
    headers = with_defaults([(b"content-type", b"application/json")])
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _admit(scope: Scope, send: Send, token: str, base: str) -> None:
    """Put the token into a cookie, and send the viewer to the address without it."""
    cookie = f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path={base}/"
    path = scope["path"] if scope["path"].startswith("/") and scope["path"][1:2] != "/" else "/"
    await _lead(send, base + path, (b"set-cookie", cookie.encode()))


async def _lead(send: Send, path: str, *more: tuple[bytes, bytes]) -> None:
    headers = with_defaults([(b"location", quote(path).encode()), *more])
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _place(origin: str) -> str:
    """Host and port of an origin, as a Host field has them; of a wicked one nothing."""
    try:
        return urlsplit(origin).netloc.casefold()
    except ValueError:
        return ""
