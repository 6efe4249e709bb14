"""The command line as people use it: on a lab of one's own, at a terminal, with Tab."""

import codecs
import contextlib
import os
import pty
import secrets
import shlex
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from typer.testing import CliRunner, Result

from mxlab.cli import app

MXLAB = (sys.executable, "-u", "-c", "from mxlab.cli import main; main()")
SECONDS = 90
STORY = """\
mxlab: 1
title: A short story
steps:
  - send: {id: one, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 30s, delivered: one}
expect: [nothing-lost, all-delivered]
"""


class Lab:
    """The command line, on one lab of a state folder of its own."""

    def __init__(self, state: Path) -> None:
        self.name = f"t-{secrets.token_hex(4)}"
        self.environment = {
            "MXLAB_STATE_DIR": str(state),
            "MXLAB_LAB": self.name,
            "MXLAB_BACKEND": "process",
            "DOCKER_HOST": f"unix://{state}/no-engine.sock",
        }

    def run(self, *words: str, code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner(env=self.environment).invoke(app, list(words), input=stdin)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    def run_any(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        """All that it says, where any of these codes will do."""
        result = CliRunner(env=self.environment).invoke(app, list(words))
        assert result.exit_code in codes, result.output
        assert "Traceback" not in result.output
        return result.output

    def __call__(self, *words: str, code: int = 0) -> str:
        return self.run(*words, code=code).stdout

    def json(self, *words: str, code: int = 0) -> object:
        value: object = msgspec.json.decode(self(*words, "--json", code=code))
        return value


def tab(lab: Lab, *words: str, **more: str) -> list[str]:
    """What is offered for the last of the words, as bash's protocol says."""
    line = ["mxlab", *words]
    asking = {
        "_MXLAB_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(shlex.quote(word) if word else "" for word in line),
        "COMP_CWORD": str(len(line) - 1),
    }
    ran = subprocess.run(
        MXLAB, env={**os.environ, **lab.environment, **asking, **more}, timeout=SECONDS,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.split()


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["run", *map(str, words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def leaves(command: Any, name: str = "") -> Iterator[str]:
    """The names of all commands below a group."""
    for word, below in getattr(command, "commands", {}).items():
        full = f"{name} {word}".strip()
        if hasattr(below, "commands"):
            yield from leaves(below, full)
        else:
            yield full


def help_of(name: str) -> str:
    """What `--help` of a command prints, at 80 columns."""
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [*name.split(), "--help"]).stdout


def examples_in(text: str) -> list[str]:
    """The command lines that a help shows below `Examples:`, without what is said of them."""
    lines = map(str.strip, text.partition("Examples:\n")[2].splitlines())
    return [line.partition("  # ")[0].rstrip() for line in lines if line.startswith("mxlab ")]


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
