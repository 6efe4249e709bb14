"""Finds the scenario that is meant, and says so where it might have been another."""

from pathlib import Path

from mxlab.cli.output import note


def story_file(name: str, folder: Path | None) -> Path:
    """The file of the scenario of that id, or at that path. Raises UnknownName, UsageError."""
    from mxlab.scenario.load import candidates

    path, *others = candidates(name, folder)
    for other in others:
        note(f"mxlab: {name} is {path} here; the other of that name is run by its path: {other}")
    return path
