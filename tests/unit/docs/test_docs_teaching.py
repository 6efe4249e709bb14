"""docs/teaching.md: its commands are commands, and what it says of refusals the proof says."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from mxlab.cli import app

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "teaching.md").read_text()
BLOCKS = "\n".join(re.findall(r"```\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [
    line for line in (*BLOCKS.splitlines(), *re.findall(r"`(mxlab [^`]+)`", PAGE))
    if line.startswith("mxlab ")
]  # fmt: skip
SAID = re.findall(r"^\| (.+?) \| .+ \|$", PAGE, re.MULTILINE)[2:]


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_is_one_with_those_options(line: str) -> None:
    group, words = typer.main.get_command(app), shlex.split(line.partition(" > ")[0])[1:]
    while words and not words[0].startswith("-") and words[0] in getattr(group, "commands", {}):
        group = group.commands[words.pop(0)]  # type: ignore[attr-defined]
    known = {option for one in group.params for option in one.opts}
    assert not getattr(group, "commands", {}) or words == []
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("text", SAID)
def test_each_refusal_is_what_the_proof_says(text: str) -> None:
    code = "".join(path.read_text() for path in (ROOT / "lab/mxlab/learn").glob("*.py"))
    fixed = re.split(r" is \d+ |: |`|\.\.\.", text)
    assert all(part.strip(" ,") in re.sub(r'"\s+f?"', "", code) for part in fixed if len(part) > 3)
