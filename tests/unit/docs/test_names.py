"""A class's name is one class's: who looks it up finds it. What is listed here has a reason."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]

# One thing, which both sides of a seam declare in their own form.
TWO_SIDES = {
    "Bounced": "the condition, and the event that it counts",
    "Deferred": "the condition, the event that it counts, and the outcome of an attempt",
    "Delivered": "the condition, and the outcome of an attempt",
    "Etrn": "the step, and the control request that it makes",
    "Refused": "the error of a control request, and the event of a command of SMTP",
}


def class_names(text: str) -> Iterator[str]:
    """Every class in a module, inner ones included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            yield node.name


def repeated(texts: list[str]) -> set[str]:
    return {
        name
        for name, count in Counter(n for t in texts for n in class_names(t)).items()
        if count > 1
    }


def test_a_name_that_is_given_twice_is_found() -> None:
    assert repeated(["class A: ...", "class B:\n    class A: ..."]) == {"A"}


def test_class_names_are_unique_but_for_those_with_a_reason() -> None:
    files = [path for part in ("lab", "services") for path in (ROOT / part).rglob("*.py")]
    found = repeated([path.read_text(encoding="utf-8") for path in files])
    assert found == TWO_SIDES.keys()
