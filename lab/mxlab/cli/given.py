"""What `what-if` and `audit` are given: a zone file of the user's own, a topology, a scenario."""

import re
from dataclasses import dataclass
from pathlib import Path

from mxlab.errors import UsageError, nearest

_MOST = 16 * 1024 * 1024  # bytes of a zone file
_HEAD = 64 * 1024  # characters in which the SOA is looked for first
_FORMS = (".yaml", ".yml")
_ORIGIN = re.compile(r"^\$ORIGIN[ \t]+(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class GivenZone:
    """The text of a zone file, and the domain that it is of."""

    text: str
    origin: str
    file: str


@dataclass(frozen=True, slots=True)
class GivenTopology:
    """YAML with a topology, or a scenario's file or folder."""

    path: Path


def given_setup(
    name: Path, origin: str | None, folder: Path | None = None
) -> GivenZone | GivenTopology:
    """What is meant by that name: a file or folder, else a scenario (`folder`: of the user's own).
    Raises UsageError where it is neither, cannot be read, or does not say of which domain it is."""
    if name.suffix in _FORMS or name.is_dir():
        found: GivenTopology | None = GivenTopology(name)
    else:
        found = _scenario(name, folder)
    if found is not None:
        if origin is not None:
            raise UsageError("--origin is of a zone file", "a topology names its own domain")
        return found
    text = _text(name)
    domain = origin or _domain(text)
    if not domain:
        raise UsageError(f"{name} does not say which domain it is of", "add --origin DOMAIN")
    return GivenZone(text, domain, str(name))


def _scenario(name: Path, folder: Path | None) -> GivenTopology | None:
    """The scenario of that id; None where it is the name of a file. Raises UsageError for a bare
    word that is neither."""
    from mxlab.scenario.load import find, scenario_ids

    word = str(name)
    if word == "-" or name.exists() or "/" in word or name.suffix:
        return None
    if word in (known := scenario_ids(folder)):
        return GivenTopology(find(word, folder))
    near = nearest(word, known)
    hint = f"did you mean {near!r}? " if near else ""
    raise UsageError(
        f"there is no file {word}, and no scenario of that name", hint + "see `mxlab scenario list`"
    )


def _domain(text: str) -> str:
    """The domain of a zone's text: the owner of its SOA record, which is its first as a rule; of
    one that has none, its first $ORIGIN; "" where neither is told."""
    from mxlab_services.dns.names import ROOT, name_text
    from mxlab_services.dns.records import read_records

    for part in (text[:_HEAD], text):
        found, _ = read_records(part, ROOT)
        owners = [one.record.owner for one in found if one.record.type == "SOA"]
        if owners and owners[0] != ROOT:
            return name_text(owners[0])
    said = _ORIGIN.search(text)
    return said[1] if said else ""


def _text(file: Path) -> str:
    import sys

    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(_MOST + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(_MOST + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    if len(data) > _MOST:
        raise UsageError(f"{file} is too long: a zone here has {_MOST} bytes at most")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no text: {error.reason}") from error
