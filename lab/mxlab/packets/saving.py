"""A file that is whole or not there: written beside its place, and moved there when it is done."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO

from mxlab.errors import EnvironmentProblem, UsageError

STANDARD = Path("-")  # standard output


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """What is written within goes to `path`, or, where anything fails, nowhere: what was there
    stays. A device or a pipe is written as it comes.

    Raises UsageError where nothing can be written there, EnvironmentProblem where it stops midway.
    """
    if path == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    begun = False
    try:
        with _open(path) as file:
            begun = True
            yield file
            file.flush()
    except OSError as error:
        why = error.strerror or str(error)
        if not begun:
            raise UsageError(f"{path} cannot be written: {why}") from error
        raise EnvironmentProblem(
            f"{path} could not be written to its end: {why}",
            "no part of it is left; make room, or name another place",
        ) from error


def save(path: Path, blocks: Generator[bytes, None, None]) -> None:
    """Write them all, as `whole_file` does."""
    with contextlib.closing(blocks), whole_file(path) as file:
        for block in blocks:
            file.write(block)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "give the name of a file in it")
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device
        return
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder", "make it first")
    number, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(number, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        Path(beside).chmod(0o666 & ~mask)
        Path(beside).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(beside).unlink()
        raise
