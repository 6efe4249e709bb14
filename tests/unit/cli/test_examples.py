"""Each command's `--help` has examples: of that command, and in lines that can be read."""

from collections.abc import Mapping

import pytest
import typer.main

from mxlab.cli import app
from mxlab.cli.examples import EXAMPLES, WIDEST
from tests.support.command import examples_in, help_of, leaves

COMMANDS = tuple(leaves(typer.main.get_command(app)))


def without(helps: Mapping[str, str]) -> list[str]:
    """The commands whose help has no example of them."""
    return [
        name
        for name, text in helps.items()
        if not any(line.startswith(f"mxlab {name}") for line in examples_in(text))
    ]


def test_every_command_has_an_example() -> None:
    assert without({name: help_of(name) for name in COMMANDS}) == []


def test_this_check_can_fail() -> None:
    told = "Usage: mxlab stop NODES\n\n  Stop.\n\n"
    assert without({"stop": told}) == ["stop"]
    assert without({"stop": f"{told}  Examples:\n    mxlab start mx1\n"}) == ["stop"]
    assert without({"stop": f"{told}  Examples:\n    mxlab stop mx1  # so\n"}) == []


def test_no_example_is_of_a_command_that_is_not_there() -> None:
    assert EXAMPLES.keys() <= set(COMMANDS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_its_examples_stand_in_lines_as_they_are_typed(name: str) -> None:
    text = help_of(name)
    assert examples_in(text) == list(EXAMPLES[name])
    assert max(map(len, text.partition("Examples:")[2].splitlines())) <= WIDEST
