"""The page in Markdown, and the command's words and exit codes."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from mxlab.cli import app
from mxlab.conform import inlab
from mxlab.conform.rules import SENDING, TAKING
from mxlab.conform.table import markdown
from mxlab.conform.trying import RuleResult, ServerResults
from mxlab.errors import EnvironmentProblem
from tests.support.rogue_server import RogueServer, serving

TO = ("--to", "bob@example.test", "--unknown", "nobody@example.test")


def mxlab(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["conform", *(str(word) for word in words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


class Beside:
    """A server in a thread, for a command that has the loop for itself."""

    def __init__(self, rogue: RogueServer) -> None:
        self.rogue = rogue
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()])

    async def _run(self) -> None:
        async with serving(self.rogue):
            self._up.set()
            await self._end.wait()

    def start(self) -> str:
        self._thread.start()
        assert self._up.wait(10)
        return f"127.0.0.1:{self.rogue.port}"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def rogue() -> Iterator[RogueServer]:
    """A server that breaks one rule; what is set in it holds for the next connection."""
    rogue = RogueServer(says={"VRFY": "500 5.5.1 no"})
    beside = Beside(rogue)
    beside.start()
    yield rogue
    beside.stop()


def test_a_server_of_ones_own_is_tried(rogue: RogueServer) -> None:
    at = f"127.0.0.1:{rogue.port}"
    shown = mxlab("--smtp", at, *TO, "--rule", "s-vrfy", "--rule", "s-noop", code=1).stdout
    assert "s-vrfy  broken  500 5.5.1 no" in shown
    assert f"{at}: 1 kept, 1 broken, 0 differs, 0 cannot be seen" in shown
    mxlab("--smtp", at, *TO, "--rule", "s-noop")
    mxlab("--smtp", at, *TO, "--rule", "e3-received", code=4)


def test_what_was_found_before_stands_beside(rogue: RogueServer, tmp_path: Path) -> None:
    at = f"127.0.0.1:{rogue.port}"
    rules = ("--rule", "s-vrfy", "--rule", "s-noop")
    first = mxlab("--smtp", at, *TO, *rules, "--name", "one", "--json", code=1)
    file = tmp_path / "one.json"
    file.write_text(first.stdout)
    (one,) = msgspec.json.decode(first.stdout, type=list[ServerResults])
    assert [rule.result for rule in one.rules] == ["kept", "broken"]
    rogue.says = {}
    both = mxlab("--smtp", at, *TO, *rules, "--name", "two", "--beside", file, "--markdown")
    assert "| `s-vrfy` | RFC 5321 §3.5.3, §7.3 | VRFY: 250, 252 or 55z | kept | **broken** |" in (
        both.stdout
    )
    assert "### one" in both.stdout


def test_a_page_shows_nothing_that_a_server_could_put_in_it() -> None:
    evil = "`x` | <script> \x1b[31m\n# big *bold* [a](b)"
    result = RuleResult("s-noop", "RFC", "it", "takes", "broken", evil)
    page = markdown([ServerResults("it", evil, 1.0, [result])])
    assert "<script>" not in page
    assert "\x1b" not in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len({row.replace(r"\|", "").count("|") for row in rows}) == 1
    assert not any(line.startswith("# big") for line in page.splitlines())
    assert r"\*bold\*" in page


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--smtp", "192.0.2.1:25", *TO], "no loopback address"),
        (["--smtp", "mail.example.org:25", *TO], "no loopback address"),
        (["--smtp", "10.0.0.1:25", *TO], "no loopback address"),
        (["--smtp", "0.0.0.0:25", *TO], "no loopback address"),
        (["--smtp", "127.0.0.1", *TO], "no HOST:PORT"),
        (["--smtp", "127.0.0.1:0", *TO], "no HOST:PORT"),
        (["--smtp", "127.0.0.1:99999", *TO], "no HOST:PORT"),
        (["--smtp", "127.0.0.1:²", *TO], "no HOST:PORT"),
        (["--smtp", ":25", *TO], "no HOST:PORT"),
        (["--smtp", "127.0.0.1:25"], "which recipient"),
        (["--smtp", "127.0.0.1:25", "--to", "bob@"], "no mail address"),
        (["--smtp", "127.0.0.1:25", *TO, "--from", "x>\r\nRSET"], "no mail address"),
        (["--rule", "s-nop"], "did you mean 's-noop'"),
        (["--with", "postfx"], "did you mean 'postfix'"),
        (["--with", "exim", "--smtp", "127.0.0.1:25", *TO], "one of them"),
        (["--smtp", "127.0.0.1:25", *TO, "--rule", "b-lost-ack"], "cannot be seen with --smtp"),
        (["--to", "bob@example.test"], "there is none"),
        (["--name", "mine"], "there is none"),
        (["--backend", "podman"], "no backend"),
        (["--smtp", "127.0.0.1:25", *TO, "--beside", "nowhere.json"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], text: str) -> None:
    assert text in mxlab(*words, code=2).stderr


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text("{}")
    told = mxlab("--smtp", "127.0.0.1:25", *TO, "--beside", file, code=2).stderr
    assert "is not what `mxlab conform --json` writes" in told


def test_where_no_server_is_the_environment_is_at_fault(rogue: RogueServer) -> None:
    told = mxlab("--smtp", f"127.0.0.2:{rogue.port}", *TO, code=3).stderr
    assert "no connection to 127.0.0.2" in told


def test_a_software_that_a_backend_has_not_is_the_environments_fault() -> None:
    told = mxlab("--with", "postfix", "--backend", "process", code=3).stderr
    assert "Postfix" in told


def test_of_several_the_others_are_tried_where_one_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def try_software(software: str, *_: object) -> ServerResults:
        if software == "exim":
            raise EnvironmentProblem("no image of exim")
        return ServerResults(software, "1", 1.0, [RuleResult("s-noop", "", "", "takes", "kept")])

    monkeypatch.setattr(inlab, "try_software", try_software)
    words = ("--with", "exim", "--with", "postfix", "--backend", "process")
    told = mxlab(*words, code=3)
    assert "no image of exim" in told.stderr
    assert "postfix 1: 1 kept" in told.stdout
    mxlab("--with", "exim", "--backend", "process", code=3)


def test_the_rules_are_told() -> None:
    listed = mxlab("--list", "--json")
    told = [one["id"] for one in msgspec.json.decode(listed.stdout)]
    assert told == [*TAKING, *SENDING]
    assert "b6-lf-dot-lf" in mxlab("--list").stdout
