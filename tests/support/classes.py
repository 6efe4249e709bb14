"""A class server on loopback, with seats that are not real ones: their boards say what they are
told to."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mxlab.board.serve import QuietServer, listen
from mxlab.classroom.plan import ClassPlan, SeatPlan, make_plan
from mxlab.classroom.server import ClassServer, serving_class
from mxlab.learn.progress import ExerciseRecord, Progress, TaskRecord

TASKS, KINDS = ["locate", "predict", "forward"], ["answer", "predict", "done"]
WICKED = {
    "set-cookie": "mine=1", "clear-site-data": '"*"', "content-type": "text/html",
    "content-security-policy": "default-src *",
}  # fmt: skip


class FakeSeat:
    """A seat's board. `heard`: what it was asked, as method, path and header fields."""

    def __init__(self, seat: SeatPlan) -> None:
        self.seat, self.heard = seat, list[tuple[str, str, dict[str, str]]]()
        self.over, self.slow, self.broken = 0, 0.0, False
        base = f"/seat/{seat.number}"
        self.app = Starlette(
            routes=[
                Route(f"{base}/api/v1/exercise", self._exercise),
                Route(f"{base}/api/v1/exercises/{{id}}/start", self._start, methods=["POST"]),
                Route(f"{base}/api/v1/exercise/check", self._check, methods=["POST"]),
                Route(f"{base}/api/v1/exercise/hint", self._hint, methods=["POST"]),
                Route(f"{base}/api/v1/exercise/solution", self._solution, methods=["POST"]),
                Route(f"{base}/api/v1/exercise/skip", self._skip, methods=["POST"]),
                Route(f"{base}/api/v1/events", self._events),
                Route(f"{base}/api/v1/wicked", self._wicked),
                WebSocketRoute(f"{base}/api/v1/terminal", self._terminal),
                Route(base + "/{rest:path}", self._any, methods=["GET", "POST", "DELETE"]),
            ]
        )

    def _hear(self, request: Request) -> None:
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.heard.append((request.method, path, dict(request.headers)))

    async def _any(self, request: Request) -> Response:
        self._hear(request)
        return JSONResponse({"body": (await request.body()).decode(), "seat": self.seat.number})

    def _at(self) -> Any:
        states = [
            {"id": task, "kind": kind, "state": "done" if number < self.over else "open"}
            for number, (task, kind) in enumerate(zip(TASKS, KINDS, strict=True))
        ]
        return {"exercise": {"tasks": states}}

    async def _start(self, request: Request) -> Response:
        self._hear(request)
        if self.broken:
            return JSONResponse({"error": "no room"}, 503)
        self.over = 0
        return JSONResponse(self._at())

    async def _check(self, request: Request) -> Response:
        self._hear(request)
        said = await request.json()
        right = said.get("answer") == "right"
        if self.slow:
            await asyncio.sleep(self.slow)
        self.over += right
        return JSONResponse({"verdict": "done" if right else "wrong"})

    async def _hint(self, request: Request) -> Response:
        self._hear(request)
        return JSONResponse({"hint": "look", "given": 1})

    async def _solution(self, request: Request) -> Response:
        self._hear(request)
        return JSONResponse({"task": TASKS[self.over], "commands": [], "answer": "right"})

    async def _exercise(self, request: Request) -> Response:
        return JSONResponse(self._at())

    async def _skip(self, request: Request) -> Response:
        self._hear(request)
        self.over += 1
        return JSONResponse(self._at())

    async def _events(self, request: Request) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            yield b"id: 1\ndata: first\n\n"
            await asyncio.Event().wait()

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def _wicked(self, request: Request) -> Response:
        return Response("<script>alert(1)</script>", headers=WICKED)

    async def _terminal(self, terminal: WebSocket) -> None:
        assert terminal.headers["authorization"] == f"Bearer {self.seat.secret}"
        await terminal.accept()
        async for text in terminal.iter_text():
            if text == "exit":
                break
            await terminal.send_text(f"seat {self.seat.number}: {text}")
        await terminal.close(1000)

    @contextlib.asynccontextmanager
    async def up(self, port: int) -> AsyncIterator[None]:
        """Answer at that port until the end of the block."""
        config = uvicorn.Config(
            self.app, log_level="critical", ws="websockets-sansio", timeout_graceful_shutdown=0
        )
        web = QuietServer(config)
        running = asyncio.create_task(web.serve(sockets=[listen("127.0.0.1", port)]))
        await web.ready(running)
        try:
            yield
        finally:
            web.should_exit = True
            await running


class FakeClass:
    """A class that is served. `root`: its address."""

    def __init__(self, plan: ClassPlan, server: ClassServer, root: str, ports: list[int]) -> None:
        self.plan, self.server, self.root, self.ports = plan, server, root, ports
        self.seats = [FakeSeat(seat) for seat in plan.seats]

    def client(self, token: str = "", **headers: str) -> httpx.AsyncClient:
        """Somebody with that token, or none."""
        if token:
            headers["authorization"] = f"Bearer {token}"
        return httpx.AsyncClient(base_url=self.root, headers=headers, timeout=30)

    @property
    def teacher(self) -> httpx.AsyncClient:
        return self.client(self.plan.teacher_token)

    def pupil(self, number: int) -> httpx.AsyncClient:
        return self.client(self.plan.seat(number).token)

    def seat(self, number: int) -> httpx.AsyncClient:
        """The seat's own side."""
        return self.client(self.plan.seat(number).secret)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has now."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


@contextlib.asynccontextmanager
async def served(
    folder: Path, seats: int = 3, plan: ClassPlan | None = None
) -> AsyncIterator[FakeClass]:
    """A class server; its seats are up once somebody makes them so."""
    plan = plan or make_plan("tests", "store-and-forward", seats)
    ports = free_ports(seats)
    server = ClassServer(plan, folder)
    server.way.place = lambda seat: f"http://127.0.0.1:{ports[seat.number - 1]}"  # type: ignore[method-assign]
    async with serving_class(server, listen("127.0.0.1", 0)) as root:
        yield FakeClass(plan, server, root, ports)


def progress(over: int, *, tries: int = 0, exercise: str = "it-waits-and-waits") -> Progress:
    """Of a student who is at that task of an exercise that ships."""
    from mxlab.exercise.load import load_exercise

    tasks = load_exercise(exercise).tasks
    states = {
        task.id: TaskRecord(
            "done" if number < over else "open", began=100.0, ended=160.0 if number < over else None
        )
        for number, task in enumerate(tasks)
    }
    states[tasks[over].id].tries = tries
    record = ExerciseRecord(exercise, 7, "lab", "process", "run", tasks=states)
    return Progress(current=exercise, exercises={exercise: record})
