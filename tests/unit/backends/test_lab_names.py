"""An empty name is no name: in no command, no variable and no backend does it mean every lab."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from mxlab.backends.base import Order
from mxlab.backends.docker import DockerBackend
from mxlab.backends.process import ProcessBackend
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.cli import app
from mxlab.errors import UsageError
from mxlab.model.scenario import Scenario
from mxlab.names import check_lab_name
from mxlab.runner.runner import silent

WRONG = [
    "",
    " ",
    "\t",
    "a/b",
    "../lab",
    "/",
    ".",
    "-x",
    "LAB",
    "a b",
    "a\nb",
    "a\x1bb",
    "ä",
    "a" * 64,
]
BACKENDS = (ProcessBackend, DockerBackend, SimBackend)


def commands(node: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in getattr(node, "commands", {}).items():
        yield from commands(command, (*words, name))
    if not hasattr(node, "commands"):
        yield words, node


def filled(parameter: Any) -> list[str]:
    """A required parameter in words that have no need to mean anything."""
    option = [parameter.opts[0]] if parameter.opts[0].startswith("-") else []
    return [*option, "bob@example.test"]


TAKING = {
    words: [word for p in command.params if p.required for word in filled(p)]
    for words, command in commands(typer.main.get_command(app))
    if any("--lab" in p.opts for p in command.params)
}


class State:
    """A state folder in which two labs lie, as far as `down` is concerned."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.labs = [path / "mxlab" / name for name in ("lab", "other")]
        for lab in self.labs:
            lab.mkdir(parents=True)

    def run(self, *words: str, **more: str | None) -> Result:
        environment = {
            "MXLAB_STATE_DIR": str(self.path),
            "DOCKER_HOST": f"unix://{self.path}/no-engine.sock",
            "MXLAB_LAB": None,
            "MXLAB_BACKEND": "process",
        }
        return CliRunner(env={**environment, **more}).invoke(app, list(words))

    @property
    def left(self) -> list[str]:
        return [lab.name for lab in self.labs if lab.exists()]


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


def refused(result: Result) -> None:
    assert result.exit_code == 2, result.output
    assert "name of a lab" in result.output
    assert "Traceback" not in result.output


def test_nearly_every_command_takes_a_lab() -> None:
    assert {("down",), ("up",), ("status",), ("run",), ("zone", "add"), ("heal",)} <= TAKING.keys()


@pytest.mark.parametrize("name", ["", " ", "a/b"])
@pytest.mark.parametrize("words", TAKING, ids=" ".join)
def test_no_command_takes_a_wrong_lab(state: State, words: tuple[str, ...], name: str) -> None:
    refused(state.run(*words, "--lab", name, *TAKING[words]))
    assert state.left == ["lab", "other"]


@pytest.mark.parametrize("words", sorted(TAKING.keys() - {("run",)}), ids=" ".join)
@pytest.mark.parametrize("name", ["", "  ", "a/b"])
def test_no_variable_brings_a_wrong_lab(state: State, words: tuple[str, ...], name: str) -> None:
    result = state.run(*words, *TAKING[words], MXLAB_LAB=name)
    refused(result)
    assert "MXLAB_LAB" in result.output
    assert state.left == ["lab", "other"]


@pytest.mark.parametrize("name", WRONG)
def test_down_removes_nothing_for_a_wrong_name(state: State, name: str) -> None:
    for words in (["--lab", name], ["--", name]):
        refused(state.run("down", *words))
    assert state.left == ["lab", "other"]


@pytest.mark.parametrize(
    "words", [["--all", "lab"], ["--all", "--lab", "lab"], ["lab", "--lab", "other"]]
)
def test_down_takes_one_name_or_all(state: State, words: list[str]) -> None:
    assert state.run("down", *words).exit_code == 2
    assert state.left == ["lab", "other"]


def test_down_removes_what_is_named(state: State) -> None:
    assert state.run("down", "other", MXLAB_LAB="lab").exit_code == 0
    assert state.left == ["lab"]
    assert state.run("down", "--all", MXLAB_LAB="other").exit_code == 0
    assert state.left == []


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_backend_takes_a_wrong_name(backend: Any, name: str) -> None:
    async def play() -> None:
        world = backend()
        with pytest.raises(UsageError, match="name of a lab"):
            await world.remove(name)
        with pytest.raises(UsageError, match="name of a lab"):
            async with world.attach(name):
                pass
        with pytest.raises(UsageError, match="name of a lab"):
            async with world.deploy(Order(name, "run"), silent):
                pass

    simulate(play)


def test_python_takes_no_empty_lab() -> None:
    from mxlab import run

    with pytest.raises(UsageError, match="name of a lab"):
        run(Scenario(id="x", title="x", steps=(), expect=()), lab="")


@pytest.mark.parametrize("name", ["lab", "a", "0", "a.b-c_d", "a" * 63])
def test_what_is_a_name(name: str) -> None:
    assert check_lab_name(name) == name
