"""The terminal of `mxlab board`: over its WebSocket, with wicked viewers, and in a browser."""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mxlab.board.shell import KEPT, WINDOW, session_members
from mxlab.board.terminals import MOST, xterm
from mxlab.errors import EnvironmentProblem
from tests.support.axe import findings
from tests.support.board_server import TOKEN, BoardServer
from tests.support.browser import Browser, until
from tests.support.command import Lab

BEARER = {"authorization": f"Bearer {TOKEN}"}
SECONDS = 60.0
FRAME = "document.getElementById('terminal-frame')"


@pytest.fixture
def board(tmp_path: Path) -> Iterator[BoardServer]:
    try:
        xterm()
    except EnvironmentProblem as error:
        pytest.skip(str(error))
    lab = Lab(tmp_path / "state")
    lab.environment |= {"MXLAB_LEARN": str(tmp_path / "learn"), "MXLAB_TOKEN": "never-shown"}
    lab.environment["HOME"] = str(tmp_path)
    with BoardServer(lab, "--terminal") as served:
        yield served
    lab.run("down")


class Viewer:
    """One who looks at a terminal, and says what it has seen as the page does, if `seeing`."""

    def __init__(self, socket: ClientConnection, *, seeing: bool = True) -> None:
        self.socket, self.seeing = socket, seeing
        self.text, self.begin, self.seen, self.taken, self.ended = "", 0, 0, 0, False

    async def step(self) -> None:
        message = await asyncio.wait_for(self.socket.recv(), SECONDS)
        if isinstance(message, str):
            told = json.loads(message)
            self.taken, self.ended = told.get("taken", self.taken), told.get("ended", False)
            if "from" in told:
                self.begin = self.seen = told["from"]
            return
        self.text = (self.text + message.decode("utf-8", "replace"))[-1_000_000:]
        self.seen += len(message)
        if self.seeing:
            await self.socket.send(json.dumps({"seen": self.seen}))

    async def type(self, text: str) -> None:
        await self.socket.send(text.encode())

    async def until_closed(self) -> int:
        """The code with which its socket is closed."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.step()
        assert self.socket.close_code is not None
        return self.socket.close_code

    async def until(self, pattern: str) -> re.Match[str]:
        while not (found := re.search(pattern, self.text)):
            await self.step()
        return found


@contextlib.asynccontextmanager
async def viewer(
    board: BoardServer, name: str = "1", headers: dict[str, str] = BEARER, *, seeing: bool = True
) -> AsyncIterator[Viewer]:
    place = f"{board.root.replace('http', 'ws')}/api/v1/terminals/{name}/socket"
    async with connect(place, additional_headers=headers, proxy=None) as socket:
        yield Viewer(socket, seeing=seeing)


async def api(board: BoardServer, path: str, method: str = "GET") -> Any:
    return await asyncio.to_thread(board.api, path, None, method)


async def shell_of(one: Viewer) -> int:
    """The process id of its shell, which leads its session."""
    await one.type("echo pid=$$=\n")
    return int((await one.until(r"pid=(\d+)=")).group(1))


async def test_a_command_addresses_the_lab_and_the_token_is_not_in_the_environment(
    board: BoardServer,
) -> None:
    async with viewer(board) as one:
        await one.socket.send('{"size": [100, 30]}')
        await one.type("stty size; tty; echo lab=$MXLAB_LAB $TERM token=${MXLAB_TOKEN:-none}\n")
        await one.until(r"30 100\s+/dev/pts/\d+\s+")
        await one.until(rf"lab={board.lab.name} xterm-256color token=none")
        await one.type("printf '%s|' Grüße 知; sleep 500 && echo not\x6e\n")
        await one.until(r"Grüße\|知\|")
        await one.type("\x03")
        await one.type("echo after-$((1+1))\n")
        await one.until("after-2")
        await one.type("mxlab status\n")
        await one.until(f"no lab called '{board.lab.name}' is up")


async def test_a_viewer_who_comes_back_finds_the_same_shell_and_what_it_said(
    board: BoardServer,
) -> None:
    async with viewer(board) as one:
        pid = await shell_of(one)
        await one.type("kept=here; seq 100000; echo last-$kept\n")
        await one.until("last-here")
    async with viewer(board) as again:
        await again.until("last-here")
        assert again.begin > 0
        assert again.seen - again.begin <= KEPT
        assert again.text.startswith(tuple("0123456789"))  # a whole line
        await again.type("echo $kept-again\n")
        await again.until("here-again")
        assert await shell_of(again) == pid
        async with viewer(board) as third:
            assert await again.until_closed() == 4001
            assert await shell_of(third) == pid


def memory(pid: int) -> int:
    """Bytes that a process has in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024  # type: ignore[union-attr]


async def test_yes_does_not_run_ahead_of_a_viewer_who_looks_away(board: BoardServer) -> None:
    async with viewer(board, seeing=False) as one:
        pid = await shell_of(one)
        before = memory(board.pid)
        await one.type("yes\n")
        with contextlib.suppress(TimeoutError):
            while True:  # no more comes
                await asyncio.wait_for(one.step(), 2)
        assert WINDOW // 2 < one.seen < WINDOW + KEPT
        yes = session_members(pid) - {pid}
        assert len(yes) == 1
        assert memory(board.pid) - before < 20_000_000
        one.seeing = True
        await one.socket.send(json.dumps({"seen": one.seen}))
        more = one.seen + 2_000_000
        while one.seen < more:
            await one.step()
        assert memory(board.pid) - before < 20_000_000
        await one.type("\x03")
        await one.type("echo stopped-$((1+1))\n")
        await one.until("stopped-2")


async def test_what_was_begun_in_it_ends_with_it_whoever_its_parent_is(board: BoardServer) -> None:
    async with viewer(board) as one:
        pid = await shell_of(one)
        await one.type(
            "trap '' HUP TERM; for i in 1 2 3 4 5 6 7 8; do (sh -c 'trap \"\" HUP TERM;"
            " sleep 1000 & sleep 1000' & ) ; done; echo begun-$((1+1))\n"
        )
        await one.until("begun-2")
        while len(session_members(pid)) < 17:
            await one.type("\n")
            await one.step()
        assert (await api(board, "/terminals"))["open"] == ["1"]
        assert (await api(board, "/terminals/1", "DELETE"))["open"] == []
        assert session_members(pid) == set()


async def test_a_fork_bomb_ends_with_its_terminal(board: BoardServer) -> None:
    async with viewer(board) as one:
        pid = await shell_of(one)
        # It forks as long as it lives, a hundred and fifty at once.
        bomb = """n=$(ls /proc | grep -c '^[0-9]')
[ $n -lt $1 ] && { sh $0 $1 & sh $0 $1 & }
sleep 0.1
exec sh $0 $1
"""
        (Path(board.lab.environment["HOME"]) / "bomb").write_text(bomb)
        await one.type("cd; sh bomb $(($(ls /proc | grep -c '^[0-9]') + 150)) & disown; ")
        await one.type("echo lit-$((1+1))\n")
        await one.until("lit-2")
        while len(session_members(pid)) < 20:
            await one.type("\n")
            await one.step()
        await api(board, "/terminals", "DELETE")
        assert session_members(pid) == set()


async def test_nothing_is_left_when_the_board_ends(board: BoardServer) -> None:
    async with viewer(board) as one:
        pid = await shell_of(one)
        await one.type("trap '' HUP; sleep 1000 & echo left-$((1+1))\n")
        await one.until("left-2")
    await asyncio.to_thread(board.interrupt)
    assert session_members(pid) == set()


async def test_the_shell_s_own_end_is_told_and_a_new_one_can_be_had(board: BoardServer) -> None:
    async with viewer(board) as one:
        pid = await shell_of(one)
        await one.type("sleep 1000 & exit\n")
        assert (await one.until_closed(), one.ended) == (4000, True)
        assert session_members(pid) == set()
    async with viewer(board) as one:
        assert await shell_of(one) != pid


async def test_no_more_terminals_than_are_allowed(board: BoardServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for number in range(MOST):
            one = await stack.enter_async_context(viewer(board, str(number)))
            await shell_of(one)
        for name, why in (("too-many", "4 terminals are open"), ("A_B", "no name")):
            async with viewer(board, name) as more:
                assert await more.until_closed() == 1013
                assert why in (more.socket.close_reason or "")
        assert len((await api(board, "/terminals"))["open"]) == MOST


async def test_a_paste_that_the_shell_does_not_read_is_bounded(board: BoardServer) -> None:
    async with viewer(board, seeing=False) as one:
        await shell_of(one)
        await one.type("stty -echo raw; sleep 1000\n")
        with contextlib.suppress(ConnectionClosed):
            for _ in range(100):
                await one.socket.send(b"x" * 65_536)
        assert await one.until_closed() == 1009
    async with viewer(board) as again:
        await again.type("\x03")
        assert (await api(board, "/terminals"))["open"] == ["1"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("x" * 300_000, 1009), (b"x" * 300_000, 1009), ("JSON?", 1007), ('{"size": [0, 5]}', 1007),
        ('{"size": [80]}', 1007), ('{"size": [100000, 5]}', 1007), ('{"seen": -1}', 1007),
        ('{"other": 1}', 1007), ("[" * 5000, 1007),
    ],
)  # fmt: skip
async def test_a_wicked_message_closes_the_socket_and_the_shell_goes_on(
    message: str | bytes, code: int, board: BoardServer
) -> None:
    async with viewer(board) as one:
        pid = await shell_of(one)
        await one.socket.send(message)
        assert await one.until_closed() == code
    async with viewer(board) as again:
        assert await shell_of(again) == pid


async def test_rubbish_is_typed_as_it_is(board: BoardServer) -> None:
    async with viewer(board) as one:
        await shell_of(one)
        await one.type(
            "stty -echo raw; echo ready-$((1+1)); head -c 256 | od -An -tx1 -v -w16; stty sane\n"
        )
        await one.until("ready-2")
        await one.socket.send(bytes(range(256)))
        await one.until("f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 fa fb fc fd fe ff")
        await one.socket.send('{"seen": 999999999999}')
        await one.type("echo goes-$((1+1))\n")
        await one.until("goes-2")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"cookie": f"mxlab_board={TOKEN}"},
        {"cookie": f"mxlab_board={TOKEN}", "origin": "http://evil.test"},
        BEARER | {"origin": "http://evil.test"},
    ],
)
async def test_who_has_no_token_or_another_origin_gets_no_shell(
    headers: dict[str, str], board: BoardServer
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with viewer(board, headers=headers):
            pass
    assert refused.value.response.status_code == 403
    assert (await api(board, "/terminals"))["open"] == []


async def test_where_it_was_not_asked_for_there_is_none(tmp_path: Path) -> None:
    with BoardServer(Lab(tmp_path / "state")) as plain:
        assert await api(plain, "/terminals") == {"enabled": False, "open": []}
        with pytest.raises(InvalidStatus) as refused:
            async with viewer(plain):
                pass
        assert refused.value.response.status_code in (403, 404)
        reply = await asyncio.to_thread(plain.client.delete, "/api/v1/terminals/1")
        assert reply.status_code == 404


def test_without_xterm_it_is_said_what_to_install(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "state")
    lab.environment["MXLAB_XTERM"] = str(tmp_path)
    said = lab.run("board", "--terminal", "--port", "0", code=3).output
    assert "a terminal needs xterm.js" in said
    assert "mxlab[terminal]" in said


def screen(browser: Browser, pattern: str) -> None:
    """Wait until it can be read on the terminal's screen."""
    until(
        browser,
        """(() => { const frame = document.getElementById('terminal-frame');
          const t = frame?.contentWindow?.mxlabTerminal;
          if (!t) return false;
          const lines = [...Array(t.buffer.active.length).keys()].map(
            (n) => t.buffer.active.getLine(n).translateToString(true));
          return new RegExp("""
        + json.dumps(pattern)
        + ").test(lines.join('\\n')); })()",
    )


def test_a_command_is_typed_on_the_page_and_read_again_after_a_reload(
    board: BoardServer, tmp_path: Path
) -> None:
    with Browser(tmp_path / "browser") as browser:
        browser.visit(f"{board.root}/?token={TOKEN}")
        until(browser, "!document.querySelector('[data-view=terminal]').hidden")
        browser.strike("5")
        until(browser, "document.activeElement.id === 'terminal-frame'")
        screen(browser, r"\$|#|%")
        browser.type("export kept=here; echo typed-$((40+2)) Grüße")
        browser.strike("Enter")
        screen(browser, r"\ntyped-42 Grüße")
        browser.visit(f"{board.root}/?again=1#terminal")
        screen(browser, r"\ntyped-42 Grüße")
        until(browser, "document.activeElement.id === 'terminal-frame'")
        browser.type("yes 0123456789 | head -200000; echo still-$kept")
        browser.strike("Enter")
        screen(browser, r"\nstill-here")
        browser.type("sh -c 'echo running-$((1+1)); exec sleep 1000'")
        browser.strike("Enter")
        screen(browser, r"\nrunning-2")
        browser.strike("c", 2)
        browser.type("echo heeded-$((1+1))")
        browser.strike("Enter")
        screen(browser, r"\nheeded-2")
        assert findings(browser) == []
        browser.strike("F6")
        until(browser, "document.activeElement.id === 'terminal-new'")
        browser.strike("Enter")
        until(browser, "document.activeElement.id === 'terminal-frame'")
        until(browser, f"{FRAME}.contentDocument.activeElement.tagName === 'TEXTAREA'")
        screen(browser, r"^[^y]*(\$|#|%)")
        browser.type("echo new-${kept:-none}")
        browser.strike("Enter")
        screen(browser, r"\nnew-none")
        assert [one for one in browser.errors if "Failed to load" not in one] == []


def test_the_shells_names_are_no_secrets(board: BoardServer) -> None:
    assert board.api("/terminals") == {"enabled": True, "open": []}
    assert os.environ.get("MXLAB_TOKEN") is None
