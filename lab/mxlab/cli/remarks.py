"""What is wrong in files that people wrote, told as a linter tells it."""

from collections.abc import Sequence
from typing import Any

import typer

from mxlab.cli.output import note, say, say_json
from mxlab.errors import EXIT_USAGE, ScenarioError


def row_of(error: ScenarioError, level: str) -> dict[str, Any]:
    """What is wrong, where, and what to do, as plain data."""
    return {
        "file": error.file,
        "line": error.line,
        "column": error.column,
        "level": level,
        "message": error.text,
        "hint": error.hint,
    }


def tell_row(row: dict[str, Any]) -> None:
    """The same as a linter's line."""
    place = ":".join(str(row[key]) for key in ("file", "line", "column") if row[key])
    say(f"{place}: {row['level']}: {row['message']}")
    if row["hint"]:
        say(f"       {row['hint']}")


def tell_remarks(rows: Sequence[dict[str, Any]], files: int, json: bool) -> None:
    """All of so many files. Raises typer.Exit with code 2 if anything is to be mended."""
    errors = sum(row["level"] == "error" for row in rows)
    if json:
        say_json(rows)
    else:
        for row in rows:
            tell_row(row)
        note(f"mxlab: {files} checked, {errors or 'nothing'} to be mended")
    if errors:
        raise typer.Exit(EXIT_USAGE)
