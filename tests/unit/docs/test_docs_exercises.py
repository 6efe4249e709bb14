"""docs/exercises.md shows the draft as it is, and has every goal, question and kind of task."""

import re
from typing import Any

import pytest

from mxlab.exercise.draft import draft_exercise
from mxlab.exercise.load import read_exercise
from mxlab.model.answer import QUESTIONS
from mxlab.model.exercise import KINDS
from mxlab.model.goal import OWN_GOALS
from tests.support.docs_code import DOCS, blocks

PAGE = (DOCS / "exercises.md").read_text(encoding="utf-8")


def goals_table() -> str:
    """The goals that only an exercise has, as the page shows them."""
    return _table("goal", OWN_GOALS)


def questions_table() -> str:
    """The questions, as the page shows them."""
    return _table("question", QUESTIONS)


def _table(head: str, kinds: dict[str, type[Any]]) -> str:
    rows = [
        f"| `{key}` | {' '.join((kind.__doc__ or '').split())} |" for key, kind in kinds.items()
    ]
    return "\n".join([f"| {head} | meaning |", "|---|---|", *rows])


@pytest.mark.parametrize("table", [goals_table, questions_table])
def test_the_tables_are_what_the_code_says(table: Any) -> None:
    assert table() in PAGE


def test_every_kind_of_task_is_there() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.M)[: len(KINDS)] == list(KINDS)


def test_the_example_is_the_draft() -> None:
    (example,) = blocks("exercises.md", "yaml")
    assert draft_exercise("my-lab").endswith(f"\n{example}")
    assert read_exercise(example, exercise_id="my-lab").tasks
