"""What lies in Exim's spool: the files of a message (ID-H, ID-D, ID-J), and its own log.

Guarantee: reads only; a message that leaves the queue meanwhile is None. Source: Exim's
specification, "Format of spool files".
"""

import contextlib
import fcntl
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from mxlab_services.address import canonical
from mxlab_services.products.base import Held

State = Literal["incoming", "active", "deferred", "hold"]

_HEADER = re.compile(rb"(\d{3,}) ?([A-Z*a-z ]) ?", re.ASCII)
_TREE = re.compile(r"[YN]{2} (.*)")
_WHY = re.compile(
    r"\S+ \S+ (.+?)(?: <[^>]*>)? R=\S+ (?:T=\S+ )?defer \(-?\d+\)"
    r"(?: H=\S+ \[[^]]*\](?::\d+)?)?(?: DT=[\w.]+)?(?:: )?(.*?)(?: DT=[\w.]+)?"
)
_FLOCK = "hhqqi4x"  # struct flock of Linux: type, whence, start, length, pid


class SpoolFile(Struct, frozen=True):
    """A message's -H file. `arrived`: Unix time; `pending`: the recipients that remain; `headers`:
    its header fields as they will be sent on."""

    sender: str
    arrived: float
    pending: tuple[str, ...]
    frozen: bool
    first: bool
    headers: bytes


def ids(spool: Path) -> list[str]:
    """The messages of the queue, in the order in which they arrived."""
    with contextlib.suppress(FileNotFoundError):
        names = (entry.name for entry in os.scandir(spool / "input"))
        return sorted(name[:-2] for name in names if name.endswith("-H"))
    return []


def held(spool: Path, queue_id: str) -> Held | None:
    """The message as the queue is listed; None if it has gone. Raises OSError."""
    try:
        file = read(spool, queue_id)
        size = (spool / "input" / f"{queue_id}-D").stat().st_size
        state = _state(spool, queue_id, file)
    except FileNotFoundError:
        return None
    why = reasons(spool, queue_id)
    return Held(
        queue_id=queue_id,
        state=state,
        sender=file.sender,
        size=len(file.headers) + size - len(f"{queue_id}-D\n"),
        arrived=file.arrived,
        reasons={address: why.get(canonical(address), "") for address in file.pending},
    )


def content(spool: Path, queue_id: str) -> bytes | None:
    """The message as it would be sent on, its lines ended by CRLF; None if it has gone."""
    try:
        file = read(spool, queue_id)
        body = (spool / "input" / f"{queue_id}-D").read_bytes().partition(b"\n")[2]
    except FileNotFoundError:
        return None
    return (file.headers + b"\n" + body).replace(b"\n", b"\r\n")


def read(spool: Path, queue_id: str) -> SpoolFile:
    """The message's envelope and header. Raises OSError, and ValueError for what is no such
    file."""
    raw = (spool / "input" / f"{queue_id}-H").read_bytes()
    envelope, blank, fields = raw.partition(b"\n\n")
    lines = envelope.decode("utf-8", "surrogateescape").split("\n")
    if not blank or len(lines) < 5:
        raise ValueError(f"{queue_id}-H has no envelope")
    options, rest = _options(lines[4:])
    delivered, recipients = _recipients(rest)
    with contextlib.suppress(
        FileNotFoundError
    ):  # what was delivered since, in an attempt under way
        journal = (spool / "input" / f"{queue_id}-J").read_text("utf-8", "surrogateescape")
        delivered |= set(journal.splitlines())
    done = {canonical(address) for address in delivered}
    return SpoolFile(
        sender=lines[2].strip("<>"),
        arrived=float(lines[3].split()[0]) + options.get("received_time_usec", 0.0),
        pending=tuple(one for one in recipients if canonical(one) not in done),
        frozen="frozen" in options,
        first="deliver_firsttime" in options,
        headers=b"".join(_fields(fields)),
    )


def reasons(spool: Path, queue_id: str) -> dict[str, str]:
    """Why each recipient (canonical) waits, as the message's own log said last."""
    found: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError):
        text = (spool / "msglog" / queue_id).read_text("utf-8", "replace")
        for line in text.splitlines():
            if told := _WHY.fullmatch(line):
                found[canonical(told[1])] = told[2]
    return found


def _options(lines: list[str]) -> tuple[dict[str, float], list[str]]:
    """The lines that begin with a hyphen (with `--` for what a peer gave), and those after."""
    options: dict[str, float] = {}
    for n, line in enumerate(lines):
        if not line.startswith("-"):
            return options, lines[n:]
        name, _, value = line.lstrip("-").partition(" ")
        number = value if re.fullmatch(r"\d*\.?\d+", value) else "0"
        options[name] = float(number)
    return options, []


def _recipients(lines: list[str]) -> tuple[set[str], list[str]]:
    """Who has the message already (a tree, a node a line), and all of its recipients."""
    delivered: set[str] = set()
    n = 0
    if lines and lines[0] == "XX":
        n = 1
    else:
        while n < len(lines) and (node := _TREE.fullmatch(lines[n])):
            delivered.add(node[1])
            n += 1
    if n >= len(lines) or not lines[n].isdigit():
        raise ValueError("no number of recipients")
    listed = lines[n + 1 : n + 1 + int(lines[n])]
    return delivered, [_address(line) for line in listed]


def _address(line: str) -> str:
    """The recipient in a line that may go on with numbers and what DSN asked for."""
    if not line.endswith(tuple(f"#{n}" for n in range(1, 8))):
        return line
    quoted = re.match(r'"(?:[^"\\]|\\.)*"\S*', line)
    return quoted[0] if quoted else line.partition(" ")[0]


def _fields(raw: bytes) -> Iterator[bytes]:
    """The header fields that are not marked as deleted: each has its length and its kind before."""
    at = 0
    while found := _HEADER.match(raw, at):
        length, begin = int(found[1]), at + len(found[1]) + 2
        if found[2] != b"*":
            yield raw[begin : begin + length]
        at = begin + length
        while raw[at : at + 1] == b"\n":
            at += 1


def _state(spool: Path, queue_id: str, file: SpoolFile) -> State:
    if file.frozen:
        return "hold"
    if _is_locked(spool / "input" / f"{queue_id}-D"):
        return "active"
    return "incoming" if file.first else "deferred"


def _is_locked(path: Path) -> bool:
    """Whether a process of Exim is at work on the message."""
    with path.open("rb") as file:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        told = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
        return bool(told[0] != fcntl.F_UNLCK)
