"""Every example in every `--help`, typed: on a lab of local processes, in the simulation, or with
Docker where an example needs it."""

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer.main

from mxlab.classroom.plan import write_plan
from mxlab.cli import app
from tests.support.classes import free_ports, served
from tests.support.command import MXLAB, SECONDS, Lab, Terminal, examples_in, help_of, leaves
from tests.support.programs import require_namespace

NAMES = tuple(leaves(typer.main.get_command(app)))
EXAMPLES = {line: name for name in NAMES for line in examples_in(help_of(name))}
FILES = {
    "lab.yaml": "mx: [{host: mx1, preference: 5}, {host: mx2, preference: 10}]\n",
    "your.zone": "$ORIGIN acme.test.\n$TTL 300\n@ IN SOA ns admin 1 600 60 86400 60\n"
    "@ IN NS ns\nns IN A 192.0.2.53\n@ IN MX 10 mx1\n@ IN MX 20 mx2\n"
    "mx1 IN A 192.0.2.1\nmx2 IN A 192.0.2.2\n",
    "acme.zone": "@ 60 IN SOA ns admin 1 600 60 86400 60\n@ 60 IN NS ns\nns 60 IN A 10.0.0.1\n",
    "mail.eml": "From: alice@client.test\nTo: bob@example.test\nSubject: mine\n\nHello\n",
    "tls.yaml": "tls: true\n",
}
SEND = "mxlab send --to bob@example.test --wait"
START = "mxlab learn start who-takes-mail"
# What is typed before an example, by the words that it begins with; the longest one counts.
BEFORE = {
    "mxlab up --mx 3": "",
    "mxlab down": "mxlab up",
    "mxlab ca": "mxlab up --topology tls.yaml",
    "mxlab check": "mxlab run primary-outage --backend sim --record run.jsonl",
    "mxlab capture run.jsonl": "mxlab run primary-outage --backend sim --record run.jsonl",
    "mxlab scenario lint": "mxlab scenario new my-outage",
    "mxlab exercise lint": "mxlab exercise new my-exercise",
    "mxlab mailbox": SEND,
    "mxlab trace": SEND,
    "mxlab start": "mxlab stop mx1",
    "mxlab resume": "mxlab pause mx1",
    "mxlab learn": START,
    "mxlab learn next": "; ".join((START, *("mxlab learn skip",) * 6)),
    "mxlab learn start": "",
    "mxlab image load": "mxlab image save image.tar",
}
# These have a lab of their own, or begin and end one.
ALONE = ("mxlab up", "mxlab down", "mxlab ca", "mxlab learn", "mxlab run", "mxlab image")
# Those that do not end by themselves -> what they say once they are there.
ENDLESS = {"mxlab board": "http", "mxlab logs -f": "ready", "mxlab learn watch": "mxlab learn"}
# `image prune` is not for an engine that others use, too: what is old for one is new for another.
PRUNE = "mxlab image prune"
IN_DOCKER = [
    line
    for line in EXAMPLES
    if "docker" in line or "--live" in line or (line.startswith("mxlab image") and line != PRUNE)
]
INSIDE = ("mxlab shell", "mxlab exec")
AT = "http://lab:8000"  # where a class is, in examples
AT_CLASS = "mxlab class"  # whose examples are typed beside a class server, with seats
# A class on the engine: typed by tests/e2e/test_class_docker.py, at night.
OF_ENGINE = tuple(f"mxlab class {one}" for one in ("up", "status", "reset", "down", "seat"))
BESIDE = [line for line in EXAMPLES if line.startswith(AT_CLASS) and not line.startswith(OF_ENGINE)]
# Codes beside 0: what is judged, or still asked for, may well not hold.
CODES = {
    PRUNE: (3,),  # no engine answers here
    "mxlab judge": (0, 1, 4),
    "mxlab learn answer": (0, 1),
    "mxlab learn check": (0, 1),
}
HERE = [
    line for line in EXAMPLES if line not in IN_DOCKER and not line.startswith((*INSIDE, AT_CLASS))
]


class Desk:
    """Somebody who types examples, in a folder that has the files that they name."""

    def __init__(self, folder: Path, backend: str = "process") -> None:
        self.folder, self.lab = folder, Lab(folder / "state")
        self.lab.environment |= {"MXLAB_BACKEND": backend, "MXLAB_LEARN": str(folder / "learn")}
        if backend == "docker":
            del self.lab.environment["DOCKER_HOST"]
        for name, text in FILES.items():
            (folder / name).write_text(text)

    def type(self, lines: str, codes: tuple[int, ...] = (0,)) -> str:
        said = ""
        for line in filter(None, lines.split("; ")):
            program, *words = shlex.split(line)
            assert program == "mxlab"
            said = self.lab.run_any(*words, codes=codes)
        return said

    def before(self, line: str) -> None:
        known = [begin for begin in BEFORE if line.startswith(begin)]
        self.type(BEFORE[max(known, key=len)] if known else "")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("desk"))
    made.type("mxlab up")
    yield made
    made.type("mxlab down")


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path, line: str) -> Iterator[Desk]:
    """With a lab that is up, which is as it was in the beginning, or with none."""
    if line.startswith(ALONE):
        own = Desk(tmp_path, "docker" if line in IN_DOCKER else "process")
        yield own
        own.type("mxlab down" if line in IN_DOCKER else "mxlab down --all")
    else:
        found: Desk = request.getfixturevalue("shared")
        found.type("mxlab reset")
        for name in ("my-outage", "my-exercise"):
            shutil.rmtree(found.folder / name, ignore_errors=True)
        yield found


def watch(desk: Desk, line: str, until: str) -> None:
    """Type what does not end until it is there, then Ctrl-C."""
    terminal = Terminal(*line.split()[1:], columns=80, **desk.lab.environment)
    try:
        terminal.until(until)
    finally:
        terminal.interrupt()
        code = terminal.end()
    assert code in (0, 130), terminal.seen
    assert "Traceback" not in terminal.seen


@pytest.mark.parametrize("line", HERE)
def test_an_example_does_what_it_says(
    desk: Desk, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    desk.before(line)
    if line in ENDLESS:
        watch(desk, line, ENDLESS[line])
        return
    known = [codes for begin, codes in CODES.items() if line.startswith(begin)]
    said = desk.type(line, known[0] if known else (0,))
    assert said.strip(), "it says nothing"


@pytest.mark.parametrize("line", [line for line in EXAMPLES if line.startswith(INSIDE)])
def test_an_example_inside_of_a_node(
    desk: Desk, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_namespace()
    for program in ("dig", "sh"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here")
    if "shell" in line:
        terminal = Terminal(*line.split()[1:], columns=80, **desk.lab.environment)
        terminal.press("dig +short mx example.test; exit\n")
        assert terminal.end() == 0, terminal.seen
        assert "10 mx1.example.test." in terminal.seen
    else:
        ran = subprocess.run(
            [*MXLAB, *line.split()[1:]], env={**os.environ, **desk.lab.environment},
            capture_output=True, text=True, timeout=SECONDS, check=True,
        )  # fmt: skip
        assert "10 mx1.example.test." in ran.stdout


@pytest.mark.parametrize("line", BESIDE)
async def test_an_example_at_a_class(line: str, tmp_path: Path) -> None:
    async with served(tmp_path / "data", 7) as room, room.seats[6].up(room.ports[6]):
        plan = msgspec.structs.replace(room.plan, port=free_ports(1)[0])
        (tmp_path / "class.json").write_bytes(write_plan(plan))
        known = {"MXLAB_CLASS": room.root, "MXLAB_CLASS_TOKEN": plan.teacher_token}
        running = await asyncio.create_subprocess_exec(
            *MXLAB, *shlex.split(line.replace(AT, room.root))[1:], cwd=tmp_path,
            env={**os.environ, **known}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if line.split()[2] == "serve":
            assert running.stdout is not None
            assert b"is served at" in await running.stdout.readline()
            running.send_signal(signal.SIGINT)
        _, said = await running.communicate()
        known_codes = {"serve": (130,), "rehearse": (0, 1)}
        assert running.returncode in known_codes.get(line.split()[2], (0,)), said


@pytest.mark.docker
@pytest.mark.parametrize("line", IN_DOCKER)
def test_an_example_that_needs_docker(
    desk: Desk, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    desk.before(line)
    assert desk.type(line).strip()


def test_every_example_is_tried_somewhere() -> None:
    elsewhere = (*INSIDE, AT_CLASS)
    tried = {*HERE, *IN_DOCKER, *(line for line in EXAMPLES if line.startswith(elsewhere))}
    assert tried == set(EXAMPLES)
    assert set(EXAMPLES.values()) == set(NAMES)


def test_a_wrong_example_would_be_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="No such option"):
        Desk(tmp_path).type("mxlab scenario list --jsn")
