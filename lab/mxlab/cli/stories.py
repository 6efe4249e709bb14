"""Finds the scenario or the exercise that is meant, and says so where it might have been another;
reads what stands beside it, writes new ones."""

from collections.abc import Mapping
from pathlib import Path

from mxlab.cli.output import note
from mxlab.errors import UsageError

SCENARIO = "scenario.yaml"


def story_file(name: str, folder: Path | None, file: str = SCENARIO) -> Path:
    """The scenario of that id, or at that path; or what else stands in a `file` of that name.
    Raises UnknownName, UsageError."""
    from mxlab.scenario.load import candidates

    path, *others = candidates(name, folder, file)
    for other in others:
        note(f"mxlab: {name} is {path} here; the other of that name is run by its path: {other}")
    return path


def lesson_text(path: Path) -> str:
    """The text of the lesson, if there is one. Raises UsageError."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write them into the folder, which is made where it is not there. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
