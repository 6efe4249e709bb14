"""Terminals of a board: shells by name, each seen by one viewer at a time over a WebSocket.

What is said, in both directions: binary, bytes of the terminal; text, JSON about it. From the
viewer `{"size": [columns, rows]}` and `{"seen": bytes}`: how much of the output it has shown, since
the shell said its first. To the viewer `{"from": bytes}`: what comes next is output from there on
(once, before what is kept); `{"taken": bytes}`: how much of what this viewer typed the shell has;
`{"ended": true}`. A viewer who stops saying `seen` gets no more than a window.
"""

import asyncio
import contextlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from mxlab.board.shell import Shell, TooMuchTyped
from mxlab.errors import EnvironmentProblem

MOST = 4  # at once
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
FOLDER_VARIABLE = "MXLAB_XTERM"
# How a WebSocket ends: RFC 6455 §7.4.1, and two codes of our own.
TOO_BIG, BAD, LATER, ELSEWHERE, ENDED = 1009, 1007, 1013, 4001, 4000
_PLACE = ("elements", "xterm", "dist")
_NEEDED = {
    "websockets": "websockets",
    "uvicorn.protocols.websockets.websockets_sansio_impl": "uvicorn 0.35 or later",
}
_SECRET = ("MXLAB_TOKEN",)


Cells = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class TerminalSaid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a viewer says of itself."""

    size: tuple[Cells, Cells] | None = None
    seen: Annotated[int, msgspec.Meta(ge=0)] | None = None


class TerminalTold(msgspec.Struct, frozen=True, omit_defaults=True, rename={"begin": "from"}):
    """What a viewer is told."""

    begin: int | None = None
    taken: int | None = None
    ended: bool = False


def xterm() -> dict[str, Path]:
    """xterm.js and its style, as the page calls them: out of the package that ships them, or a
    folder of one's own. Raises EnvironmentProblem: what to install."""
    given = os.environ.get(FOLDER_VARIABLE)
    folder = Path(given) if given else _shipped()
    found = {} if folder is None else {
        "xterm.js": folder / "index.js", "xterm.css": folder / "xterm.css",
    }  # fmt: skip
    if not found or not all(path.is_file() for path in found.values()):
        where = f"{FOLDER_VARIABLE}={given}" if given else "this Python"
        raise EnvironmentProblem(
            f"a terminal needs xterm.js, and {where} has none",
            "pip install 'mxlab[terminal]'; or, smaller: pip install websockets, "
            "pip install --no-deps nicegui",
        )
    for module, what in _NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise EnvironmentProblem(f"a terminal needs {what}", "pip install 'mxlab[terminal]'")
    return found


def _shipped() -> Path | None:
    spec = importlib.util.find_spec("nicegui")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]).joinpath(*_PLACE) if places else None


class Terminals:
    """The shells of a board, for the lab of that name. `more`: of their environment."""

    def __init__(self, lab: str, more: dict[str, str] | None = None) -> None:
        self._lab, self._more = lab, more or {}
        self._shells: dict[str, Shell] = {}
        self._viewers: dict[str, _TerminalViewer] = {}
        self._starting = asyncio.Lock()

    @property
    def names(self) -> list[str]:
        """Those that run."""
        return sorted(name for name, shell in self._shells.items() if not shell.ended)

    async def end(self, name: str) -> bool:
        """End one with all that runs in it; False where there is none."""
        shell = self._shells.pop(name, None)
        if shell is None:
            return False
        await shell.end()
        return True

    async def end_all(self) -> list[str]:
        """End them all; returns which there were."""
        names = self.names
        await asyncio.gather(*(self.end(name) for name in list(self._shells)))
        return names

    async def serve(self, socket: WebSocket) -> None:
        """Show a terminal to a viewer until either ends; the shell goes on without one."""
        name = str(socket.path_params["name"])
        await socket.accept()
        try:
            shell = await self._shell(name)
        except EnvironmentProblem as error:
            await socket.close(LATER, str(error)[:120])
            return
        if (other := self._viewers.get(name)) is not None:
            await other.leave(ELSEWHERE, "opened elsewhere")
        viewer = self._viewers[name] = _TerminalViewer(socket, shell)
        try:
            await viewer.stay()
        finally:
            if self._viewers.get(name) is viewer:
                del self._viewers[name]
                shell.look_on(None)
            if shell.ended and self._shells.get(name) is shell:
                del self._shells[name]

    async def _shell(self, name: str) -> Shell:
        """The shell of that name, begun where there is none. Raises EnvironmentProblem."""
        if not NAME.fullmatch(name):
            raise EnvironmentProblem(f"{name[:40]!r} is no name of a terminal")
        async with self._starting:
            shell = self._shells.get(name)
            if shell is None or shell.ended:
                if len(self.names) >= MOST:
                    raise EnvironmentProblem(f"{MOST} terminals are open; end one first")
                shell = await Shell.start(self._environment(), 80, 24)
                self._shells[name] = shell
            return shell

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in _SECRET}
        here = Path(sys.executable).parent
        paths = kept.get("PATH", os.defpath).split(os.pathsep)
        if (here / "mxlab").exists() and str(here) not in paths:
            paths.insert(0, str(here))
        return kept | self._more | {
            "TERM": "xterm-256color", "MXLAB_LAB": self._lab, "PATH": os.pathsep.join(paths),
            "LANG": kept.get("LANG", "C.UTF-8"),
        }  # fmt: skip


class _TerminalViewer:
    """One who looks at a shell."""

    def __init__(self, socket: WebSocket, shell: Shell) -> None:
        self._socket, self._shell = socket, shell
        self._news = asyncio.Event()
        self._closed, self._before = False, shell.given

    async def stay(self) -> None:
        shell = self._shell
        begin = shell.replayed_from()
        shell.look_on(begin)
        shell.on_news = self._news.set
        self._news.set()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._socket.send_text(_json(TerminalTold(begin=begin)))
            hearing = asyncio.create_task(self._hear())
            showing = asyncio.create_task(self._show(begin))
            try:
                await asyncio.wait([hearing, showing], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (hearing, showing):
                    task.cancel()
                done, _ = await asyncio.wait([hearing, showing])
            for task in done:
                if not task.cancelled():
                    task.result()

    async def leave(self, code: int, why: str) -> None:
        if not self._closed:
            self._closed = True
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._socket.close(code, why)

    async def _show(self, position: int) -> None:
        """Send what the shell says, as fast as the socket takes it."""
        shell, taken = self._shell, 0
        while True:
            start, data = shell.after(position)
            if start > position:  # never while it is watched; a viewer has to know, all the same
                await self._socket.send_text(_json(TerminalTold(begin=start)))
            if data:
                position = start + len(data)
                await self._socket.send_bytes(data)
            elif shell.ended:
                await self._socket.send_text(_json(TerminalTold(ended=True)))
                await self.leave(ENDED, "the shell has ended")
                return
            if self._taken() != taken:
                taken = self._taken()
                await self._socket.send_text(_json(TerminalTold(taken=taken)))
            if not data:
                self._news.clear()
                if shell.after(position)[1] or shell.ended or self._taken() != taken:
                    continue
                await self._news.wait()

    def _taken(self) -> int:
        """Of what this viewer typed."""
        return max(0, self._shell.taken - self._before)

    async def _hear(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                self._closed = True
                return
            try:
                if (data := message.get("bytes")) is not None:
                    self._shell.type(data)
                else:
                    self._heed(msgspec.json.decode(message.get("text") or "", type=TerminalSaid))
            except TooMuchTyped:
                await self.leave(TOO_BIG, "more was typed than the shell reads")
                return
            except (msgspec.MsgspecError, UnicodeError):
                await self.leave(BAD, "not understood")
                return

    def _heed(self, said: TerminalSaid) -> None:
        if said.size is not None:
            self._shell.resize(*said.size)
        if said.seen is not None and self._shell.seen is not None:
            self._shell.look_on(min(max(said.seen, self._shell.seen), self._shell.total))


def _json(told: TerminalTold) -> str:
    return msgspec.json.encode(told).decode()
