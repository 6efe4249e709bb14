"""A seat and the class server: registered, told of each change, until another has its number."""

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mxlab.classroom import seat as seats
from mxlab.classroom.seat import (
    SeatEnvironment,
    changes,
    exercises_of,
    register,
    seat_environment,
    tell_progress,
)
from mxlab.errors import EnvironmentProblem, UsageError

GIVEN = {
    "MXLAB_SEAT": "3", "MXLAB_SEAT_SEED": "17", "MXLAB_SEAT_SECRET": "secret-of-3",
    "MXLAB_TRACK": "running-a-backup", "MXLAB_CLASS": "http://class:8000",
}  # fmt: skip


@dataclass
class FakeClassServer:
    """What was asked of it, and the replies that it has left; the last one stays."""

    url: str = ""
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    replies: list[tuple[int, object]] = field(default_factory=list)
    heard: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server() -> Iterator[FakeClassServer]:
    fake = FakeClassServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            fake.asked.append((self.path, self.headers.get("authorization", ""), body))
            status, said = fake.replies.pop(0) if len(fake.replies) > 1 else fake.replies[0]
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        fake.url = f"http://127.0.0.1:{web.server_address[1]}"
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield fake
        web.shutdown()
        thread.join()


def environment(server: FakeClassServer) -> SeatEnvironment:
    return seat_environment({**GIVEN, "MXLAB_CLASS": server.url})


def test_what_a_seat_is_told() -> None:
    env = seat_environment({**GIVEN, "MXLAB_SEAT_BEGIN": "who-is-bob"})
    assert (env.number, env.seed, env.begin) == (3, 17, "who-is-bob")
    assert env.root == "http://class:8000/internal/seats/3"


@pytest.mark.parametrize("missing", sorted(GIVEN))
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(UsageError, match=missing):
        seat_environment({key: word for key, word in GIVEN.items() if key != missing})


@pytest.mark.parametrize(
    ("key", "word"), [("SEAT", "x"), ("SEAT_SEED", "-1"), ("CLASS", "class:8000")]
)
def test_what_makes_no_sense_is_named(key: str, word: str) -> None:
    with pytest.raises(UsageError, match=f"MXLAB_{key}"):
        seat_environment({**GIVEN, f"MXLAB_{key}": word})


async def test_it_registers_with_its_secret(server: FakeClassServer) -> None:
    server.replies = [(200, {"registration": 4, "seed": 17, "track": "t", "progress": None})]
    registered = await register(environment(server))
    assert (registered.registration, registered.progress) == (4, None)
    assert server.asked == [("/internal/seats/3/register", "Bearer secret-of-3", b"")]


async def test_a_wrong_secret_is_said_with_the_server_s_words(server: FakeClassServer) -> None:
    server.replies = [(401, {"error": "this is not that seat's secret"})]
    with pytest.raises(EnvironmentProblem, match="not that seat's secret"):
        await register(environment(server))


async def test_who_does_not_answer_is_asked_again_and_then_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seats, "WAITING", 0.05)
    monkeypatch.setattr(seats, "AGAIN", 0.01)
    with pytest.raises(EnvironmentProblem, match="does not answer"):
        await register(seat_environment({**GIVEN, "MXLAB_CLASS": "http://127.0.0.1:1"}))


async def test_each_change_of_the_file_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "CHANGES", 0.01)
    file = tmp_path / "progress.json"
    found = changes(file)
    first = asyncio.ensure_future(anext(found))
    _replace(file, '{\n  "version": 1\n}')
    assert await first == b'{"version":1}'
    second = asyncio.ensure_future(anext(found))
    _replace(file, '{\n  "version": 2\n}')
    assert await second == b'{"version":2}'
    await found.aclose()  # type: ignore[attr-defined]


async def test_what_is_not_taken_is_told_again_and_a_newer_seat_ends_it(
    tmp_path: Path, server: FakeClassServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "CHANGES", 0.01)
    file = tmp_path / "progress.json"
    _replace(file, '{"version": 1}')
    server.replies = [(409, {"error": "another registration"})]
    told: list[str] = []
    await tell_progress(environment(server), 7, file, told.append)
    [(path, token, body)] = server.asked
    assert path == "/internal/seats/3/progress?registration=7"
    assert (token, body) == ("Bearer secret-of-3", b'{"version":1}')
    assert "another seat has this number" in told[0]


def test_a_track_is_in_order_and_without_what_needs_containers() -> None:
    found = exercises_of("running-a-backup", lambda _: None)
    assert [one.part for one in found] == sorted(one.part for one in found)
    assert found[0].part == 1
    assert all(not one.backends or "process" in one.backends for one in found)


def test_a_track_that_is_none_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="nowhere") as told:
        exercises_of("nowhere", lambda _: None)
    assert "running-a-backup" in told.value.hint


def _replace(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)
