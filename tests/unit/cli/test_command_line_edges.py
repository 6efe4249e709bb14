"""The command line at its edges: words that are no text, files that are none, Ctrl-C while it
loads, an output that nobody reads. Clear words and the right exit code, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mxlab.cli import app

SECONDS = 60.0
BYTES = "caf\udce9"  # as Python reads Latin-1 where UTF-8 is spoken


def every_command(command: Any, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [words]
    return [found for name, sub in inner.items() for found in every_command(sub, (*words, name))]


COMMANDS = every_command(typer.main.get_command(app))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_argument_that_is_no_text_is_refused_in_every_command(words: tuple[str, ...]) -> None:
    for more in ((BYTES,), ("--lab", BYTES), (f"--title={BYTES}",)):
        said = CliRunner().invoke(app, [*words, *more])
        assert said.exit_code == 2
        assert f"{more[-1]!a} is not UTF-8 text" in said.stderr
        assert said.stdout == ""


def test_there_are_many_commands() -> None:
    assert len(COMMANDS) > 35
    assert {("up",), ("scenario", "lint")} <= set(COMMANDS)


def test_a_variable_that_is_no_text_is_refused() -> None:
    said = CliRunner(env={"MXLAB_LAB": BYTES}).invoke(app, ["status"])
    assert said.exit_code == 2
    assert "MXLAB_LAB is not UTF-8 text" in said.stderr


def mxlab(*words: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "mxlab", *words]
    done = subprocess.run(command, timeout=SECONDS, check=False, **options)
    assert b"Traceback" not in (done.stderr or b"")
    return done


def test_bytes_from_a_shell_are_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mxlab", "run", b"\xff"], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"mxlab: the argument '\\udcff' is not UTF-8 text")


@pytest.mark.parametrize(
    "name", ["mxlab.cli", "typer", "mxlab.cli.scenario", "yaml", "mxlab.scenario.load"]
)
def test_ctrl_c_while_it_loads(name: str) -> None:
    """Struck at the moment at which a module is looked for."""
    program = f"""
import os, signal, sys

class Strikes:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Strikes())
sys.argv = ["mxlab", "scenario", "list"]
from mxlab.__main__ import main
main()
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (130, b"mxlab: interrupted\n")
    assert done.stdout == b""


@pytest.mark.parametrize(
    "words",
    [
        ("scenario", "list"),
        ("scenario", "schema"),
        ("--help",),
        ("run", "null-mx", "--backend", "sim"),
    ],
)
def test_an_output_that_nobody_reads(words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = mxlab(*words, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert b"Exception" not in done.stderr
    for closed in (">&-", ">&- <&-", "2>&- >&- <&-"):
        shut = f'exec "$0" -m mxlab {" ".join(words)} {closed}'
        done = subprocess.run(
            ["sh", "-c", shut, sys.executable], stderr=subprocess.PIPE, timeout=SECONDS, check=False
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "xx_YY.ISO-8859-1"])
@pytest.mark.parametrize("coding", ["", "ascii", "latin-1"])
def test_a_poor_locale(locale: str, coding: str, tmp_path: Path) -> None:
    story = tmp_path / "übung.yaml"
    story.write_text(
        "mxlab: 1\ntitle: Übung 😀\nsteps: [say: ö]\nexpect: [nothing-lost]\n", encoding="utf-8"
    )
    named = {
        "LC_ALL": locale,
        "PYTHONIOENCODING": coding,
        "PYTHONUTF8": "",
        "PYTHONCOERCECLOCALE": "0",
    }
    done = mxlab(
        "scenario",
        "show",
        str(story),
        env={k: v for k, v in (os.environ | named).items() if v},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Übung 😀" in done.stdout.decode()


FILES = {
    "missing": None, "empty": b"", "binary": b"\x7fELF\x02\x01\x00\xff\xfe", "nul": b"\0" * 100,
    "text": b"hello\n", "latin": "é: ü\n".encode("latin-1"), "brackets": b"[" * 100_000,
    "json": b'{"a": [1, 2, {"b": null}]}', "utf16": "mxlab: 1\n".encode("utf-16"), "folder": None,
}  # fmt: skip
TAKE_FILES = (
    ("run",), ("run", "--dry-run"), ("scenario", "show"), ("scenario", "lint"), ("check",),
    ("up", "--topology"), ("export", "compose", "--topology"),
)  # fmt: skip


@pytest.mark.parametrize("words", TAKE_FILES, ids=" ".join)
@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_none(words: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.yaml"
    if kind == "folder":
        path.mkdir()
    elif (data := FILES[kind]) is not None:
        path.write_bytes(data)
    done = CliRunner(env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}).invoke(
        app, [*words, str(path)]
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 2
    assert str(path) in done.output
