"""A class on the engine: up, seats that reach the class server and nothing else, one begun anew,
and gone without a trace. At night: the seats' image takes minutes to make."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.classes import free_ports
from tests.support.command import MXLAB

pytestmark = [pytest.mark.docker, pytest.mark.nightly]
NAME = f"night{os.getpid()}"
SECONDS = 900.0
# Whether a port answers, from within a seat: Debian's bash speaks TCP.
KNOCK = "timeout 3 bash -c '</dev/tcp/{host}/{port}' 2>/dev/null && echo open || echo shut"


def typed(*words: str, code: int = 0) -> str:
    done = subprocess.run(
        [*MXLAB, "class", *words], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def docker(*words: str) -> str:
    done = subprocess.run(
        ("docker", *words), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return (done.stdout + done.stderr).strip()


def knock(seat: int, host: str, port: int) -> str:
    words = KNOCK.format(host=host, port=port)
    return docker("exec", f"mxlab-class-{NAME}-seat-{seat}", "sh", "-c", words).splitlines()[-1]


def left() -> list[str]:
    """What the engine has of the class."""
    label = ("--filter", f"label=mxlab.class={NAME}", "--quiet")
    there = (
        docker(*words, *label) for words in (("ps", "-a"), ("network", "ls"), ("volume", "ls"))
    )
    return [one for said in there for one in said.split()]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of the server of a class of two."""
    found, cards = free_ports(1)[0], tmp_path_factory.mktemp("cards") / "cards.html"
    said = typed(
        *("up", "--seats", "2", "--track", "address-book", "--name", NAME),
        *("--port", str(found), "--handout", str(cards)),
    )
    try:
        assert f"The class '{NAME}' is up: 2 seats" in said
        assert cards.stat().st_mode & 0o077 == 0, "it holds tokens"
        assert "/join/" in cards.read_text()
        yield found
    finally:
        typed("down", NAME)
    assert left() == []


def seats() -> list[dict[str, object]]:
    found: list[dict[str, object]] = msgspec.json.decode(typed("status", NAME, "--json"))
    return found


def test_each_seat_is_at_its_first_task(port: int) -> None:
    assert [(seat["seat"], seat["state"]) for seat in seats()] == [(1, "running"), (2, "running")]
    assert {seat["exercise"] for seat in seats()} == {"who-takes-mail"}


def test_a_seat_reaches_the_class_server_and_nothing_else(port: int) -> None:
    other = docker(
        *("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"),
        f"mxlab-class-{NAME}-seat-2",
    )
    assert knock(2, other, 8025) == "open", "it is there"
    assert knock(1, "class", 8000) == "open"
    assert knock(1, other, 8025) == "shut"
    assert knock(1, "seat-2", 8025) == "shut"
    assert knock(1, "192.0.2.1", 80) == "shut"


def test_the_resolver_of_a_seat_is_its_lab(port: int) -> None:
    """`dig` and `swaks` need no flag."""
    seat = f"mxlab-class-{NAME}-seat-1"
    zones: list[dict[str, object]] = msgspec.json.decode(
        docker("exec", seat, "mxlab", "zone", "list", "--json")
    )
    origin = str(zones[0]["origin"])
    assert docker("exec", seat, "dig", "+short", origin, "SOA") != ""
    assert docker("exec", seat, "dig", "+short", "example.com", "MX") == ""


def test_a_second_class_of_the_name_is_refused(port: int) -> None:
    said = typed("up", "--seats", "1", "--track", "address-book", "--name", NAME, code=3)
    assert f"a class called '{NAME}' is up" in said


def test_a_port_that_is_taken_is_said_before_anything_is_made(port: int) -> None:
    said = typed(
        *("up", "--seats", "1", "--track", "address-book", "--name", f"{NAME}b"),
        *("--port", str(port)),
        code=3,
    )
    assert str(port) in said
    assert docker("ps", "-a", "--quiet", "--filter", f"label=mxlab.class={NAME}b") == ""


def test_a_seat_is_begun_anew(port: int) -> None:
    seat = f"mxlab-class-{NAME}-seat-1"
    before = docker("inspect", "--format", "{{.State.StartedAt}}", seat)
    assert "Seat 1 is ready again." in typed("reset", "1", "--name", NAME)
    assert docker("inspect", "--format", "{{.State.StartedAt}}", seat) != before
    assert seats()[0]["state"] == "running"


def test_a_seat_outside_of_a_class_says_what_it_lacks(tmp_path: Path) -> None:
    assert "MXLAB_SEAT" in typed("seat", code=2)
