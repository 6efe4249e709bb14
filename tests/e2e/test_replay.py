"""A run that is over over real sockets: recorded, simulated or in a bundle; and what is none."""

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.board_server import BoardServer
from tests.support.command import Lab

STORY = "primary-outage"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording and a bundle of one run."""
    folder = tmp_path_factory.mktemp("recorded")
    lab = Lab(folder)
    files = ("--record", str(folder / "run.jsonl"), "--bundle", str(folder / "run.zip"))
    lab("run", STORY, "--backend", "sim", *files)
    return folder


@contextlib.contextmanager
def replay(lab: Lab, *words: str) -> Iterator[BoardServer]:
    with BoardServer(lab, *words) as served:
        yield served


def _until(lines: Iterator[str], last: str) -> Iterator[str]:
    for line in lines:
        yield line
        if line == last:
            return


def test_a_recording_is_played_and_its_verdict_is_shown(lab: Lab, recorded: Path) -> None:
    with replay(lab, str(recorded / "run.jsonl"), "--paused") as board:
        assert board.api("/board")["kind"] == "replay"
        assert board.api("/replay")["state"]["playing"] is False
        with board.client.stream("GET", "/api/v1/events") as reply:
            lines = reply.iter_lines()
            assert "event: state" in (next(lines), next(lines))
            board.api("/replay/play", {"whole": 1})
            seen = list(_until(lines, "event: mailbox.delivered"))
            assert "event: message.accepted" in seen
            for line in lines:
                if line.startswith("data: ") and '"ended":true' in line:
                    break
        view = board.api("/replay")
        assert (view["verdict"], view["state"]["ended"]) == ("pass", True)
        one = board.api("/messages/latest")
        assert one["missing"]
        refused = board.client.get(f"/api/v1/messages/{one['message']['id']}/raw")
        assert (refused.status_code, "--bundle" in refused.json()["hint"]) == (409, True)
        killed = board.client.post("/api/v1/nodes/mx1/kill", json={})
        assert (killed.status_code, "replay" in killed.json()["error"]) == (409, True)
        assert "mxlab_delivered_total" in board.client.get("/metrics").text


def test_a_bundle_has_its_messages(lab: Lab, recorded: Path) -> None:
    with replay(lab, str(recorded / "run.zip"), "--in", "1s") as board:
        held = board.api("/wait", {"condition": {"delivered": "batch"}, "within": 60})
        assert held["holds"], held
        one = board.api("/messages/latest?wait=30")
        assert (one["missing"], one["letter"]["headers"] != []) == ("", True)
        raw = board.client.get(f"/api/v1/messages/{one['message']['id']}/raw")
        assert one["message"]["message"].encode() in raw.content


def test_a_story_is_simulated_first_and_seeked(lab: Lab) -> None:
    with replay(lab, "five-day-outage", "--paused", "--speed", "7200") as board:
        assert board.api("/board")["replay"]["speed"] == 7200
        board.api("/replay/seek", {"to": 2 * 86_400})
        (queue,) = [q for q in board.api("/queues") if q["node"] == "mx2"]
        assert len(queue["entries"]) == 3
        board.api("/replay/seek", {"to": 1e9})
        assert board.api("/judge")["verdict"] == "pass"
        code, said = board.interrupt()
    assert code == 130
    assert "Traceback" not in said


def lines_of(recorded: Path) -> list[bytes]:
    return (recorded / "run.jsonl").read_bytes().splitlines(keepends=True)


def bad(recorded: Path, kind: str) -> bytes:
    """A file that is no recording, or a spoilt one."""
    lines = lines_of(recorded)
    match kind:
        case "empty":
            return b""
        case "cut":
            return b"".join(lines[: len(lines) // 2])
        case "cut in a line":
            return b"".join(lines)[: len(b"".join(lines)) // 2]
        case "no json":
            return b"hello\nworld\n"
        case "other json":
            return b'{"a": 1}\n'
        case "binary":
            return bytes(range(256)) * 10
        case "later":
            return b"".join(lines).replace(b'"format":1', b'"format":99', 1)
        case "bundle cut":
            return (recorded / "run.zip").read_bytes()[:-400]
        case _:
            return b"PK\3\4 and no more"


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        ("empty", 2, "is empty"),
        ("cut", 4, "cut off"),
        ("cut in a line", 4, "cut off"),
        ("no json", 2, "no recorded run"),
        ("other json", 2, "no recorded run"),
        ("binary", 2, "no recorded run"),
        ("later", 4, "format 99"),
        ("bundle cut", 4, "cut off"),
        ("no bundle", 4, "cut off"),
    ],
)
def test_a_bad_file_is_told_and_nothing_is_served(
    kind: str, code: int, told: str, lab: Lab, recorded: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(bad(recorded, kind))
    result = lab.run("board", str(path), "--port", "0", code=code)
    assert told in result.stderr
    assert str(path) in result.stderr.replace("\n", "")
    assert "Traceback" not in result.stderr


def sealed_anew(lines: list[bytes]) -> bytes:
    """The lines under a seal of their own."""
    from hashlib import sha256

    body = b"".join(lines)
    seal = {"kind": "run.end", "lines": len(lines), "sha256": sha256(body).hexdigest()}
    return body + json.dumps(seal, separators=(",", ":")).encode() + b"\n"


def test_a_later_format_under_a_good_seal_and_one_without_events(
    lab: Lab, recorded: Path, tmp_path: Path
) -> None:
    head, *_, outcome, _ = lines_of(recorded)
    path = tmp_path / "run.jsonl"
    path.write_bytes(sealed_anew([head.replace(b'"format":1', b'"format":99'), outcome]))
    assert "reads 1" in lab.run("board", str(path), code=2).stderr
    path.write_bytes(sealed_anew([head, outcome]))
    result = lab.run("board", str(path), code=2)
    assert "no event stands in this run" in result.stderr
    assert "nothing to replay" in result.stderr


def test_a_recording_with_another_byte_is_shown_and_proves_nothing(
    lab: Lab, recorded: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    lines = lines_of(recorded)
    lines[20] = b'{"kind": "no event"}\n'
    path.write_bytes(b"".join(lines))
    with replay(lab, str(path), "--paused") as board:
        board.api("/replay/seek", {"to": 1e9})
        view = board.api("/replay")
        assert view["verdict"] == "unknown"
        assert any("line 21" in one for one in view["damage"])
        _, said = board.interrupt()
    assert "proves nothing" in said


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nothing.jsonl",), 2, "No such file"),
        (("nothing-like-it",), 2, "no scenario is called"),
        ((STORY, "--speed", "0"), 2, "--speed"),
        ((STORY, "--speed", "nan"), 2, "--speed"),
        ((STORY, "--in", "soon"), 2, "no duration"),
        ((STORY, "--in", "0s"), 2, "--in"),
        ((STORY, "--in", "60s", "--speed", "2"), 2, "give one of them"),
        (("--speed", "2"), 2, "of a replay"),
        (("--paused",), 2, "of a replay"),
        (("four-mailboxes", "--paused", "--port", "99999"), 2, "port"),
    ],
)
def test_what_makes_no_sense(words: tuple[str, ...], code: int, told: str, lab: Lab) -> None:
    result = lab.run("board", *words, code=code)
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_a_story_that_cannot_be_simulated_says_what_to_do(lab: Lab) -> None:
    result = lab.run("board", "postfix-dead-destination", code=3)
    assert "--bundle" in result.stderr.replace("\n       ", " ")


def test_up_with_its_page_leaves_the_lab_up(lab: Lab) -> None:
    with BoardServer(lab, command=("up", "--board", "--board-port", "0", "--json")) as board:
        assert board.api("/lab")["backend"] == "process"
        code, said = board.interrupt()
    assert (code, said.splitlines()[-1]) == (130, "mxlab: interrupted")
    assert json.loads(lab("status", "--json"))[0]["nodes"][0]["state"] == "running"


def test_up_with_a_page_that_cannot_be_served_brings_nothing_up(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = lab.run("up", "--board", "--board-port", port, code=3)
    assert f"port {port}" in result.stderr
    assert "--board-port" in result.stderr
    assert "Nothing was there" in lab("down")
    assert "give both" in lab.run("up", "--board-port", "0", code=2).stderr
