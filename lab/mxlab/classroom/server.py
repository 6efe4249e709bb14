"""The class server: its application, and the process that serves it.

It holds students' tokens and seats' secrets, progress, and the way to the seats; it never has an
engine's socket. See `porter` for who gets here.

Long: a function for each thing that a seat, a student or the teacher asks for.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mxlab.board.guard import BadBody
from mxlab.board.serve import CONNECTIONS, listen, serving_app
from mxlab.board.troubles import told_well, trouble
from mxlab.classroom.door import Door, Person, right_secret
from mxlab.classroom.plan import ClassPlan, SeatPlan
from mxlab.classroom.porter import PAGE_POLICY, Porter
from mxlab.classroom.progress import LARGEST, read_progress, seats_csv
from mxlab.classroom.roll import Roll
from mxlab.classroom.store import ClassStore
from mxlab.classroom.teacher import all_rows, begin_anew, skip_to_after
from mxlab.classroom.views import (
    AnswerWish,
    AskWish,
    HandWish,
    Registered,
    SayWish,
    SkipWish,
    class_view,
    pupil_view,
)
from mxlab.classroom.way import URL, SeatAway, Way
from mxlab.errors import UnknownName, UsageError
from mxlab.learn.progress import now

PULSE = 15.0  # real seconds of silence after which a viewer is told that we are there
GATHERED = 0.2  # real seconds in which changes are told as one
ANYTHING = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
W = TypeVar("W")
Handler = Callable[[Request], Any]


class ClassServer:
    """A class's server, over a folder of its own. `seat_url`, `places`: as of Way; `names`: as of
    Porter."""

    def __init__(
        self,
        plan: ClassPlan,
        folder: Path,
        seat_url: str = URL,
        names: Iterable[str] = (),
        places: Mapping[int, int] | None = None,
    ) -> None:
        self.plan, self._store = plan, ClassStore(folder)
        self.roll = Roll(plan, self._store, now)
        self.way = Way(plan, self.roll, seat_url, places)
        self._joining: set[asyncio.Task[None]] = set()
        door = Door(plan, self._store.key)
        self.app = Porter(self._application(), door, names, self._joined)

    def _application(self) -> Starlette:
        routes = [
            Route("/health", _health),
            Route("/", self._front),
            Route("/join/", _joined_page),
            Route("/page/{name}", _own_file),
            Route(
                "/internal/seats/{seat}/register", self._inside(self._register), methods=["POST"]
            ),
            Route("/internal/seats/{seat}/progress", self._inside(self._told), methods=["POST"]),
            Route("/internal/seats/{seat}/progress", self._inside(self._fetched), methods=["GET"]),
            *self._of_teacher(),
            *self._of_pupil(),
            Route("/seat/{seat}", self._to_slash),
            WebSocketRoute("/seat/{seat}/{path:path}", self._socket),
            Route("/seat/{seat}/{path:path}", _told_well(self._seat), methods=ANYTHING),
        ]
        return Starlette(
            routes=routes, lifespan=self._life, exception_handlers={404: _nothing, 405: _nothing}
        )

    def _of_teacher(self) -> list[Route]:
        def route(path: str, handler: Handler, *methods: str) -> Route:
            return Route(path, _told_well(_only_teacher(handler)), methods=list(methods or ["GET"]))

        return [
            route("/api/class", self._class),
            route("/api/class/events", self._class_events),
            route("/api/class/message", self._say, "POST"),
            route("/api/class/question", self._ask, "POST"),
            route("/api/class/question", self._close, "DELETE"),
            route("/api/class/seats/{seat}/skip", self._skip, "POST"),
            route("/api/class/seats/{seat}/reset", self._reset, "POST"),
            route("/api/class/seats/{seat}/hand", self._lower, "POST"),
            route("/api/class/export.csv", self._csv),
            route("/api/class/export.json", self._json),
        ]

    def _of_pupil(self) -> list[Route]:
        def route(path: str, handler: Handler, method: str = "GET") -> Route:
            return Route(path, _told_well(_only_pupil(handler)), methods=[method])

        return [
            route("/api/me", self._me),
            route("/api/me/events", self._my_events),
            route("/api/me/hand", self._hand, "POST"),
            route("/api/me/answer", self._answer, "POST"),
        ]

    @contextlib.asynccontextmanager
    async def _life(self, _: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self.way.close()
            await asyncio.gather(*self._joining, return_exceptions=True)

    def close(self) -> None:
        """Give the folder back."""
        self._store.close()

    def _joined(self, who: Person) -> None:
        task = asyncio.create_task(self.roll.joined(who.seat))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    # --- pages ------------------------------------------------------------------------------------

    async def _front(self, request: Request) -> Response:
        who = _who(request)
        if who is None:
            return _page("mxlab.classroom", "join.html", 401)
        return _page("mxlab.classroom", "teacher.html" if who.teaches else "pupil.html")

    async def _to_slash(self, request: Request) -> Response:
        seat = self.way.seat(request.path_params["seat"])
        if seat is None:
            return _no_seat()
        return RedirectResponse(f"/seat/{seat.number}/", 303)

    # --- the seats' own side ----------------------------------------------------------------------

    def _inside(self, handler: Callable[[Request, SeatPlan], Any]) -> Handler:
        """Of a seat itself, which has its secret: nobody else is told even whether it is there."""

        async def handle(request: Request) -> Response:
            seat = self.way.seat(request.path_params["seat"])
            headers = {k.lower(): v for k, v in request.headers.items()}
            if seat is None or not right_secret(seat, headers):
                return trouble(401, "this is not that seat's secret")
            reply: Response = await handler(request, seat)
            return reply

        return _told_well(handle)

    async def _register(self, request: Request, seat: SeatPlan) -> Response:
        number = await self.roll.register(seat.number)
        self.roll.saw(seat.number, away=False)
        progress = self.roll.desks[seat.number].progress
        return _good(Registered(number, seat.seed, self.plan.track, progress))

    async def _told(self, request: Request, seat: SeatPlan) -> Response:
        """JSON lines, each the whole progress; the last is what holds now. All that is taken is
        written down before the reply."""
        given = request.query_params.get("registration", "")
        if not (given.isascii() and given.isdecimal() and len(given) < 10):
            raise UsageError("`registration` is the number that `register` gave")
        body = await request.body()
        if len(body) > LARGEST:
            raise BadBody(413, f"progress is at most {LARGEST} bytes")
        lines = [line for line in body.splitlines() if line.strip()]
        told = [msgspec.json.encode(read_progress(line)) for line in lines]
        for line in told:
            await self.roll.tell(seat.number, int(given), line)
        self.roll.saw(seat.number, away=False)
        return _good({"kept": len(told)})

    async def _fetched(self, request: Request, seat: SeatPlan) -> Response:
        return _good(self.roll.desks[seat.number].progress)

    # --- the teacher ------------------------------------------------------------------------------

    async def _class(self, request: Request) -> Response:
        return _good(class_view(self.roll))

    async def _class_events(self, request: Request) -> Response:
        return _events(self.roll, b"class", lambda: class_view(self.roll))

    async def _say(self, request: Request) -> Response:
        wish = await _wish(request, SayWish)
        return _good(await self.roll.say(wish.text, wish.seat))

    async def _ask(self, request: Request) -> Response:
        wish = await _wish(request, AskWish)
        if len(set(wish.choices)) != len(wish.choices) or len(wish.choices) == 1:
            raise UsageError("choices are two or more, all different", "or none: free answers")
        return _good(await self.roll.ask(wish.text, wish.choices))

    async def _close(self, request: Request) -> Response:
        await self.roll.close_question()
        return _good(self.roll.question)

    async def _skip(self, request: Request) -> Response:
        seat, wish = self._named(request), await _wish(request, SkipWish)
        return _good(await skip_to_after(self.way, seat, wish.task))

    async def _reset(self, request: Request) -> Response:
        return _good(await begin_anew(self.way, self._named(request)))

    async def _lower(self, request: Request) -> Response:
        await self.roll.raise_hand(self._named(request), up=False)
        return _good({"up": False})

    async def _csv(self, request: Request) -> Response:
        text = seats_csv(all_rows(self.roll))
        return Response(text, media_type="text/csv", headers=_saved("csv"))

    async def _json(self, request: Request) -> Response:
        return _good(all_rows(self.roll), _saved("json"))

    def _named(self, request: Request) -> int:
        seat = self.way.seat(request.path_params["seat"])
        if seat is None:
            raise UnknownName("seat", request.path_params["seat"], map(str, self.roll.desks))
        return seat.number

    # --- a student --------------------------------------------------------------------------------

    async def _me(self, request: Request) -> Response:
        return _good(pupil_view(self.roll, _seat_of(request)))

    async def _my_events(self, request: Request) -> Response:
        seat = _seat_of(request)
        return _events(self.roll, b"me", lambda: pupil_view(self.roll, seat))

    async def _hand(self, request: Request) -> Response:
        wish = await _wish(request, HandWish)
        await self.roll.raise_hand(_seat_of(request), wish.up)
        return await self._me(request)

    async def _answer(self, request: Request) -> Response:
        wish = await _wish(request, AnswerWish)
        await self.roll.answer(_seat_of(request), wish.question, wish.answer)
        return await self._me(request)

    # --- the way to the seats ---------------------------------------------------------------------

    async def _seat(self, request: Request) -> Response:
        seat, who = self.way.seat(request.path_params["seat"]), _who(request)
        if seat is None:
            return _no_seat()
        if who is None or not (who.teaches or who.seat == seat.number):
            return trouble(403, "this seat is not yours")
        if who.teaches and request.method not in ("GET", "HEAD"):
            return trouble(403, "the teacher looks on: a seat is its student's")
        path: str = request.path_params["path"]
        if path == "" or path.startswith("page/"):
            return _page("mxlab.board", path.removeprefix("page/") or "index.html")
        return await self.way.lead(request, seat)

    async def _socket(self, socket: WebSocket) -> None:
        seat, who = self.way.seat(socket.path_params["seat"]), socket.scope["state"]["who"]
        if seat is None or who is None or who.seat != seat.number:
            await socket.close(1008)  # before it is accepted: 403
            return
        await self.way.lead_socket(socket, seat)


def _who(request: Request) -> Person | None:
    who: Person | None = request.scope["state"]["who"]
    return who


def _seat_of(request: Request) -> int:
    """The seat of a student, whom `_only_pupil` let through."""
    who = _who(request)
    return who.seat if who else 0


def _only_teacher(handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        who = _who(request)
        if who is None or not who.teaches:
            return trouble(403, "that is the teacher's")
        reply: Response = await handler(request)
        return reply

    return handle


def _only_pupil(handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        who = _who(request)
        if who is None or who.teaches:
            return trouble(403, "that is a student's; you have the teacher's token")
        reply: Response = await handler(request)
        return reply

    return handle


def _told_well(handler: Handler) -> Handler:
    """What goes wrong on purpose, as a reply; a seat that is away may be back in a moment."""

    async def handle(request: Request) -> Response:
        try:
            reply: Response = await handler(request)
        except SeatAway as error:
            return trouble(503, str(error), error.hint, {"retry-after": "2"})
        return reply

    return told_well(handle)


async def _wish(request: Request, kind: type[W]) -> W:
    return msgspec.json.decode(await request.body() or b"{}", type=kind)


def _good(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers=headers)


def _no_seat() -> Response:
    return trouble(404, "there is no such seat in this class")


async def _nothing(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return trouble(status, "there is nothing here" if status == 404 else "not in this way")


async def _health(request: Request) -> Response:
    return _good({"serves": "a class"})


async def _joined_page(request: Request) -> Response:
    return _page("mxlab.classroom", "joined.html")


async def _own_file(request: Request) -> Response:
    """A file of the class's pages, or one that they share with the board's."""
    name = request.path_params["name"]
    own = files("mxlab.classroom").joinpath("page").joinpath(name).is_file() and "/" not in name
    return _page("mxlab.classroom" if own else "mxlab.board", name)


def _page(package: str, name: str, status: int = 200) -> Response:
    """A file of a package's page; no other name leads anywhere."""
    kind = _KINDS.get(name.rpartition(".")[2])
    found = {file.name: file for file in files(package).joinpath("page").iterdir()}
    if kind is None or name not in found:
        return trouble(404, "there is nothing here")
    headers = {"content-security-policy": PAGE_POLICY}
    return Response(found[name].read_bytes(), status, headers, kind)


def _saved(ending: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="class.{ending}"'}


def _events(roll: Roll, kind: bytes, view: Callable[[], Any]) -> Response:
    """Server-sent events: the whole view whenever it is another. Who reads slowly is told less
    often, never more than what is so now."""

    async def stream() -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        while True:
            version, data = roll.version, msgspec.json.encode(view())
            yield b"event: %s\ndata: %s\n\n" % (kind, data)
            await asyncio.sleep(GATHERED)
            while roll.version == version:
                try:
                    async with asyncio.timeout(PULSE):
                        await roll.more(version)
                except TimeoutError:
                    yield b": here\n\n"

    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


@contextlib.asynccontextmanager
async def serving_class(server: ClassServer, listener: socket.socket) -> AsyncIterator[str]:
    """Serve the class until the end of the block; gives the address without a token."""
    address, port = listener.getsockname()[:2]
    try:
        async with serving_app(
            server.app, listener, limit_concurrency=4 * CONNECTIONS, ws="websockets-sansio",
            ws_max_size=1_000_000, proxy_headers=False,
        ):  # fmt: skip
            yield f"http://{f'[{address}]' if ':' in address else address}:{port}"
    finally:
        server.close()


async def serve_class(
    plan: ClassPlan, folder: Path, address: str, port: int, seat_url: str, names: Iterable[str],
    told: Callable[[str], None],
) -> None:  # fmt: skip
    """Serve until cancelled; `told` hears the address. Raises EnvironmentProblem for a port that is
    taken, a folder that another server has."""
    listener = listen(address, port)
    try:
        server = ClassServer(plan, folder, seat_url, names)
    except BaseException:
        listener.close()
        raise
    async with serving_class(server, listener) as root:
        told(root)
        await asyncio.Event().wait()
