"""Prints measurements as a Markdown table, and keeps them for docs/benchmarks.md.

Where MXLAB_BENCH_OUT names a file, each table is appended to it.
"""

import os
import platform
from pathlib import Path


class Table:
    """A titled table that grows by rows and is shown at the end."""

    def __init__(self, title: str, *columns: str) -> None:
        self._title = title
        self._rows: list[tuple[str, ...]] = [columns]

    def row(self, *cells: object) -> None:
        self._rows.append(tuple(str(cell) for cell in cells))

    def show(self) -> None:
        lines = [
            f"### {self._title}",
            "",
            _line(self._rows[0]),
            _line(["---"] * len(self._rows[0])),
        ]
        lines += [_line(row) for row in self._rows[1:]]
        text = "\n".join(lines) + "\n"
        print("\n" + text)
        out = os.environ.get("MXLAB_BENCH_OUT")
        if out:
            with Path(out).open("a") as file:
                file.write(text + "\n")


def machine() -> str:
    """What the numbers were measured on."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
