"""`mxlab board` over real sockets: the guide's examples, viewers of all kinds, a lab that goes."""

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.board_server import TOKEN, BoardServer
from tests.support.command import Lab
from tests.support.programs import needs

GUIDE = (Path(__file__).parents[2] / "docs" / "board.md").read_text()
BOB = "bob@example.test"


@pytest.fixture
def board(lab: Lab) -> Iterator[BoardServer]:
    lab("up")
    with BoardServer(lab) as served:
        yield served


def example(language: str, board: BoardServer) -> str:
    """The guide's, for this board."""
    section = GUIDE.partition(f"## From {language}")[2]
    found = re.search(r"```\w*\n(.*?)```", section, re.DOTALL)
    assert found
    text = found[1].replace("workshop-token", TOKEN)
    return text.replace("http://127.0.0.1:8025", board.root)


def ran(*command: str, stdin: str = "") -> str:
    ended = subprocess.run(
        command, input=stdin, check=False, capture_output=True, text=True, timeout=90
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@needs("curl")
def test_the_guides_example_for_a_shell(board: BoardServer) -> None:
    text = example("a shell", board).replace("curl ", "curl -sS --fail-with-body ")
    said = ran("sh", "-e", stdin=text)
    assert '"holds":true' in said
    assert '"subject":"hello"' in said


@needs("node")
def test_the_guides_example_for_node(board: BoardServer) -> None:
    text = example("a test in Node", board) + "\nconsole.log(JSON.stringify({ holds }));\n"
    assert ran("node", "--input-type=module", stdin=text).strip() == '{"holds":true}'
    assert board.api("/faults")[0]["struck"] == 1


def test_the_guides_example_for_python(board: BoardServer) -> None:
    text = example("Python", board)
    text = text.replace('api("/wait"', 'print(api("/wait"').rstrip() + ")\n"
    assert "'holds': True" in ran(sys.executable, "-", stdin=text)
    assert board.api("/queues/mx2")["entries"]


def test_events_come_as_they_happen_and_from_where_one_left(board: BoardServer) -> None:
    board.api("/lab")
    with board.client.stream("GET", "/api/v1/events") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = reply.iter_lines()
        assert "event: state" in (next(lines), next(lines))
        board.api("/send", {"to": [BOB], "batch": "b"})
        seen = list(_until(lines, "event: mailbox.delivered"))
    assert "event: message.accepted" in seen
    number = [line for line in seen if line.startswith("id: ")][-1].removeprefix("id: ")
    again = {"last-event-id": number}
    with board.client.stream("GET", "/api/v1/events", headers=again) as reply:
        assert any(_until(reply.iter_lines(), "event: mailbox.delivered"))


def _until(lines: Iterator[str], last: str) -> Iterator[str]:
    for line in lines:
        yield line
        if line == last:
            return


def test_viewers_that_vanish_leave_nothing(board: BoardServer) -> None:
    for _ in range(30):
        with board.client.stream("GET", "/api/v1/events?after=0") as reply:
            next(reply.iter_lines())
    board.api("/send", {"to": [BOB], "batch": "b"})
    assert board.api("/wait", {"condition": {"delivered": "b"}})["holds"]
    files = Path(f"/proc/{board.pid}/fd")
    if files.is_dir():
        sockets = [fd for fd in files.iterdir() if "socket" in str(fd.readlink())]
        assert len(sockets) < 30


def test_a_viewer_that_reads_nothing_holds_up_nobody(board: BoardServer) -> None:
    host, port = board.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as idle:
        idle.sendall(
            f"GET /api/v1/events?after=0 HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        board.api("/send", {"to": [BOB], "count": 200, "batch": "b"})
        assert board.api("/wait", {"condition": {"delivered": "b"}, "within": 60})["holds"]


def test_a_request_that_is_no_http_is_refused(board: BoardServer) -> None:
    host, port = board.root.removeprefix("http://").split(":")
    for junk in (b"\x16\x03\x01\x02\x00", b"EHLO x\r\n\r\n", b"GET / HTTP/1.1\r\n" * 10_000):
        stranger = socket.create_connection((host, int(port)), timeout=30)
        with stranger, contextlib.suppress(OSError):  # it may hang up on us
            stranger.sendall(junk)
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(65536):
                pass
    assert board.api("/lab")["backend"] == "process"


def test_a_lab_that_goes_and_comes_back_is_told(board: BoardServer, lab: Lab) -> None:
    run = board.api("/lab")["run"]
    with board.client.stream("GET", "/api/v1/events?after=0") as reply:
        lines = reply.iter_lines()
        lab("down")
        assert list(_until(lines, "event: lab.down"))
        assert board.client.get("/api/v1/lab").status_code == 503
        assert "mxlab_up" in board.client.get("/metrics").text
        lab("up")
        assert list(_until(lines, "event: lab.up"))
    assert board.api("/lab")["run"] != run


def test_a_reset_empties_the_list_too(board: BoardServer) -> None:
    board.api("/send", {"to": [BOB], "batch": "b"})
    assert board.api("/messages?wait=30")["total"] == 1
    with board.client.stream("GET", "/api/v1/events") as reply:
        lines = reply.iter_lines()
        board.api("/reset", {})
        assert list(_until(lines, "event: node.erased"))
        assert list(_until(lines, "event: node.erased"))
    assert board.client.get("/api/v1/messages").status_code == 200


def test_it_ends_quietly(lab: Lab) -> None:
    lab("up")
    board = BoardServer(lab)
    with board:
        board.api("/lab")
        code, said = board.interrupt()
    assert (code, said) == (130, "mxlab: interrupted\n")


def test_a_port_that_is_taken_is_named(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = lab.run("board", "--port", port, code=3)
    assert f"port {port} of 127.0.0.1 cannot be had" in result.stderr
    assert "--port" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--token", "short"), "at least eight"),
        (("--openapi", "--markdown"), "give one of them"),
    ],
)
def test_options_that_make_no_sense(words: tuple[str, ...], told: str, lab: Lab) -> None:
    assert told in lab.run("board", *words, code=2).stderr


def test_another_host_is_refused_over_a_real_socket(board: BoardServer) -> None:
    reply = httpx.get(
        f"{board.root}/api/v1/lab",
        headers={"host": "evil.test", "authorization": f"Bearer {TOKEN}"},
    )
    assert reply.status_code == 403
