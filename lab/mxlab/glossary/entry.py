"""Entries of the glossary: a file each, those that ship and a teacher's own.

A teacher's folder stands beside ours: an entry of the same id takes the place of ours.
"""

import functools
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
import yaml

from mxlab.errors import UsageError

OWN = "MXLAB_GLOSSARY"  # the environment variable with a teacher's folder
MOST_COMMANDS = 8
_LARGEST = 65_536  # bytes of one entry

Sentence = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One term. `meaning`: one plain sentence; `like`: what it is like; `see`: what to type to see
    it; `do`: what to do in practice; `mistake`: one that people make."""

    term: Sentence
    meaning: Sentence
    also: tuple[str, ...] = ()
    like: str = ""
    see: Annotated[tuple[Sentence, ...], msgspec.Meta(max_length=MOST_COMMANDS)] = ()
    do: str = ""
    section: str = ""
    mistake: str = ""
    related: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All by which it is found, beside its id."""
        return (self.term, *self.also)


def entries(own: Path | None = None) -> Mapping[str, Term]:
    """Every entry by its id, in the order of the alphabet. Raises UsageError with file and reason
    for one that cannot be read."""
    found = dict(_shipped())
    if own is not None:
        if not own.is_dir():
            raise UsageError(f"{own} is no folder", f"it is what {OWN} names")
        found |= {file.stem: _own(file) for file in own.glob("*.yaml")}
    return dict(sorted(found.items()))


@functools.cache
def _shipped() -> Mapping[str, Term]:
    folder = files("mxlab.glossary").joinpath("entries")
    return {
        Path(file.name).stem: _read(file.read_bytes(), file.name)
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    }


def own_folder() -> Path | None:
    """The teacher's folder, if the environment names one."""
    name = os.environ.get(OWN, "")
    return Path(name) if name else None


def _own(file: Path) -> Term:
    try:
        with file.open("rb") as opened:
            return _read(opened.read(_LARGEST + 1), str(file))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def _read(data: bytes, file: str) -> Term:
    if len(data) > _LARGEST:
        raise UsageError(f"{file}: an entry has {_LARGEST} bytes at most")
    try:
        return msgspec.convert(yaml.safe_load(data), Term, strict=True)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}" if mark else file
        raise UsageError(f"{place}: not YAML: {getattr(error, 'problem', error)}") from error
    except (msgspec.ValidationError, RecursionError) as error:
        text = f"{file}: no entry of a glossary: {error}"
        raise UsageError(
            text, "it has `term`, `meaning`, and what docs/glossary.md shows"
        ) from error
