"""A function fits a screen, and a long module says in its first lines why it is one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = sorted(path for part in ("lab", "services") for path in (ROOT / part).rglob("*.py"))
SCREEN = 50  # lines of a function, from its docstring on: a command's options are a list
MODULE = 300  # lines of a module that needs no reason
REASON = "Long: "  # begins the line of a module's docstring that says why it is longer


def long_functions(text: str) -> Iterator[tuple[str, int]]:
    """Name and lines of each function that does not fit a screen."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0].lineno
            lines = (node.end_lineno or first) - first + 1
            if lines > SCREEN:
                yield node.name, lines


def lacks_reason(text: str) -> bool:
    """Whether a module is long, and its docstring does not say why."""
    words = ast.get_docstring(ast.parse(text)) or ""
    reasons = [line for line in words.splitlines() if line.startswith(REASON)]
    return len(text.splitlines()) > MODULE and not reasons


def test_what_is_too_long_is_found() -> None:
    body = "    x = 1\n" * (SCREEN + 1)
    assert list(long_functions(f"def f():\n{body}")) == [("f", SCREEN + 1)]
    assert lacks_reason('"""Duty."""\n' + "x = 1\n" * MODULE)
    assert not lacks_reason('"""Duty.\n\nLong: one table.\n"""\n' + "x = 1\n" * MODULE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_fits_a_screen_or_says_why_not(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert list(long_functions(text)) == []
    assert not lacks_reason(text), (
        f"{len(text.splitlines())} lines: split it, or begin a line of "
        f"its docstring with {REASON!r} and the reason"
    )
