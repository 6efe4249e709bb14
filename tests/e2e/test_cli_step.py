"""`mxlab run`: `--step` at a terminal, `--dry-run`, which starts nothing, and steps that fail."""

import codecs
import contextlib
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from mxlab.backends.process.folder import state_root
from mxlab.cli import app

MXLAB = (sys.executable, "-u", "-c", "from mxlab.cli import main; main()")
SECONDS = 60
STORY = """\
mxlab: 1
title: A short story
steps:
  - send: {id: one, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 30s, delivered: one}
expect: [nothing-lost, all-delivered]
"""


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MXLAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.delenv("MXLAB_BACKEND", raising=False)
    monkeypatch.delenv("MXLAB_SCENARIOS", raising=False)
    path = tmp_path / "story.yaml"
    path.write_text(STORY)
    return path


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["run", *map(str, words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


class Terminal:
    """Somebody at a terminal who runs a command."""

    def __init__(self, *words: object, columns: int = 80, **variables: str) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
        self._process = subprocess.Popen(
            [*MXLAB, *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, env=environment | {"TERM": "xterm"} | variables,
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""
        self._decode = codecs.getincrementaldecoder("utf-8")().decode

    def until(self, text: str) -> None:
        start = len(self.seen)
        while text not in self.seen[start:]:
            self.seen += self._decode(os.read(self._ours, 4096))

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def interrupt(self) -> None:
        self._process.send_signal(2)

    def interrupt_at_a_prompt(self, backend: str = "sim") -> None:
        """As somebody does who presses Ctrl-C until it is heeded. A read that blocks the program
        (where no lab of real processes goes on meanwhile) overlooks a signal that comes after the
        prompt is written and before it reads."""
        if backend != "sim":
            self.interrupt()
            return
        while self._process.poll() is None:
            self.interrupt()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)

    def end(self) -> int:
        try:
            while data := os.read(self._ours, 4096):
                self.seen += self._decode(data)
        except OSError:  # how a terminal says that its last program has gone
            pass
        os.close(self._ours)
        return self._process.wait(SECONDS)


@pytest.fixture(params=["sim", "process"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_step_waits_for_enter_before_each_step(story: Path, backend: str) -> None:
    terminal = Terminal("run", story, "--backend", backend, "--step")
    terminal.until("(Enter to go on)")
    assert "[1/2] send one" in terminal.seen
    assert "[2/2]" not in terminal.seen
    terminal.press("\n")
    terminal.until("(Enter to go on)")
    assert "[2/2] eventually" in terminal.seen
    terminal.press("\n")
    assert terminal.end() == 0, terminal.seen
    assert "PASSED" in terminal.seen


def test_an_interrupt_while_it_waits_is_130(story: Path, backend: str) -> None:
    terminal = Terminal("run", story, "--backend", backend, "--step")
    terminal.until("(Enter to go on)")
    terminal.interrupt_at_a_prompt(backend)
    assert terminal.end() == 130, terminal.seen
    assert "Traceback" not in terminal.seen
    assert not state_root().exists() or list(state_root().iterdir()) == []


def test_step_without_a_terminal_is_2(story: Path) -> None:
    said = run(story, "--backend", "sim", "--step", code=2).stderr
    assert "--step waits for somebody at a terminal" in said


class TestDryRun:
    def test_the_plan_and_the_worlds_are_told_and_nothing_starts(self, story: Path) -> None:
        said = run(story, "--dry-run").stdout
        assert "  1. One message goes from alice@client.test" in said
        assert "docker   no: engine: no Docker engine runs at" in said
        assert "process  yes" in said
        assert "sim      yes" in said
        assert "would use: process" in said
        assert not state_root().exists()

    def test_an_obstacle_is_3(self, story: Path) -> None:
        story.write_text(STORY.replace("steps:\n", "steps:\n  - fault: {id: x, drop: mx1}\n"))
        said = run(story, "--dry-run", "--backend", "process", code=3).stdout
        assert "process  no: the process backend cannot drop a node" in said
        run(story, "--dry-run", "--backend", "sim")

    def test_a_story_for_one_world(self, story: Path) -> None:
        story.write_text(STORY.replace("steps:\n", "backends: [sim]\nsteps:\n"))
        (plan,) = msgspec.json.decode(run(story, "--dry-run", "--json").stdout)
        assert plan["worlds"]["process"] == "it is told for sim only"
        assert plan["worlds"]["sim"] == ""
        assert plan["backend"] == "sim"
        run(story, "--dry-run", "--backend", "process", code=3)

    def test_a_broken_file_is_2(self, story: Path) -> None:
        story.write_text(STORY.replace("- send", "- sned"))
        assert "story.yaml:4" in run(story, "--dry-run", code=2).stderr


class TestAStepThatFails:
    """In real processes: the lab is healed and removed all the same."""

    def test_a_python_step_that_raises_is_told_with_its_line(self, story: Path) -> None:
        wrong = "  - fault: {id: x, kill: mx1}\n  - python: extra.py:breaks\nexpect"
        story.write_text(STORY.replace("expect", wrong))
        extra = story.with_name("extra.py")
        extra.write_text("async def breaks(lab):\n    return lab.nodes['mx7']\n")
        said = run(story, "--backend", "process", code=1).stdout
        assert f"step 4: python: extra.py:breaks: KeyError: 'mx7' ({extra}:2)" in said
        assert f"({story}:7)" in said
        assert "pass  all-delivered" in said
        assert list(state_root().iterdir()) == []

    def test_an_eventually_ends_at_its_deadline_with_what_was_seen(self, story: Path) -> None:
        wrong = "within: 1s, queue: {host: mx1, count: 7}"
        text = STORY.replace("within: 30s, delivered: one", wrong)
        story.write_text(text.replace("  - even", "  - fault: {id: x, pause: mx1}\n  - even"))
        said = run(story, "--backend", "process", code=1).stdout
        assert "holds 7 messages: in the end mx1 holds 0 messages" in said
        assert list(state_root().iterdir()) == []
