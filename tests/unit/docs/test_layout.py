"""Tests stand alone: what two of them share is in `tests/support` or a conftest. Every room of the
lab has its floor, as import-linter sees to it in the services."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[2]


def imports(text: str) -> Iterator[str]:
    """The modules from which a module takes something."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{name.name}" for name in names)
            case ast.Import(names=names):
                yield from (name.name for name in names)


def of_tests(text: str) -> list[str]:
    """The test modules among them."""
    return [
        name
        for name in imports(text)
        if name.startswith("tests.") and name.rpartition(".")[2].startswith("test_")
    ]


def test_what_is_taken_of_a_test_is_found() -> None:
    text = "from tests.support import fakes\nfrom tests.unit import test_x\nimport tests.e2e.test_y"
    assert of_tests(text) == ["tests.unit.test_x", "tests.e2e.test_y"]
    assert of_tests("from tests.e2e.test_y import Lab") == ["tests.e2e.test_y"]


def test_no_test_takes_from_another() -> None:
    found = {
        str(path.relative_to(TESTS)): names
        for path in TESTS.rglob("*.py")
        if (names := of_tests(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def without_floor(rooms: set[str], layers: list[str]) -> set[str]:
    """The rooms of `mxlab` of which no layer speaks, nor of a part of them."""
    floors = {room.split(".")[1] for layer in layers for room in layer.split(" | ")}
    return rooms - floors


def test_a_room_without_a_floor_is_found() -> None:
    layers = ["mxlab.cli", "mxlab.backends.sim | mxlab.api"]
    assert without_floor({"cli", "backends", "api", "attic"}, layers) == {"attic"}


def test_every_room_of_the_lab_has_its_floor() -> None:
    lab = TESTS.parent / "lab" / "mxlab"
    rooms = {path.parent.name for path in lab.glob("*/__init__.py")}
    rooms |= {path.stem for path in lab.glob("*.py")} - {"__init__"}
    with (TESTS.parent / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    [layers] = [c["layers"] for c in contracts if c.get("layers", [])[:1] == ["mxlab.__main__"]]
    assert len(rooms) > 15
    assert without_floor(rooms, layers) == set()
