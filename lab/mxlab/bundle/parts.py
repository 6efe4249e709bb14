"""What an evidence bundle is made of: the names of its parts, its manifest, its bounds. Pure.

A bundle is a zip file. `manifest.json` is its first entry and names every other with its size and
SHA-256; `run.jsonl` is the recording, from which the run is judged again.
"""

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import quote

import msgspec

from mxlab.model.finding import Verdict

KIND: Literal["mxlab.bundle"] = "mxlab.bundle"
FORMAT = 1

MANIFEST = "manifest.json"
RUN = "run.jsonl"
TOPOLOGY = "topology.json"
VERSIONS = "versions.json"
QUEUES = "queues.json"
MAILBOXES = "mailboxes.json"
REPORT, REPORT_TEXT, REPORT_PAGE = "report.json", "report.txt", "report.html"
NEEDED = (VERSIONS, RUN, TOPOLOGY, QUEUES, REPORT, REPORT_TEXT, REPORT_PAGE, MAILBOXES)
SCENARIO = "scenario/"  # the folder of its files
LETTERS = "mailboxes/"  # the folder of the messages

MIB = 1 << 20
MOST_FILE = 1024 * MIB  # bytes of the zip file
MOST_DIRECTORY = 32 * MIB  # bytes of its directory, which is read whole
MOST_PARTS = 200_000
MOST_TOGETHER = 4096 * MIB  # bytes of all parts, unpacked
MOST_RUN = 512 * MIB
MOST_OTHER = 64 * MIB  # bytes of any other part, unpacked: its reader has it whole

DIGEST = r"^[0-9a-f]{64}$"
_DRIVE = re.compile(r"^[A-Za-z]:")


class LineTable(msgspec.Struct, frozen=True):
    """What tells lines that were moved from lines that were changed: how many there are, and the
    sum of their SHA-256 digests modulo 2**256, in which order they may stand."""

    count: int
    sum: str


class BundlePart(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part: where it stands, how many bytes it has, and their SHA-256. `lines`: of the
    recording."""

    name: str
    size: int
    sha256: str
    lines: LineTable | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The first entry of a bundle: what the run was and came to, and all parts in their order."""

    kind: Literal["mxlab.bundle"]
    format: int
    mxlab: str
    run: str
    scenario: str
    backend: str
    seed: int
    verdict: Verdict
    parts: tuple[BundlePart, ...]


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What made the run. `products`: node -> the software that it said it runs, where that is not
    mxlab's own; `engine`: what the lab stood on, where it was an engine."""

    mxlab: str
    python: str
    libraries: dict[str, str] = {}
    products: dict[str, str] = {}
    engine: str = ""


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """In what a bundle is not as it was written, or contradicts itself. `expected` and `found`:
    digests of the part, where both are known."""

    part: str
    kind: Literal[
        "missing", "added", "truncated", "changed", "reordered", "unreadable", "contradiction"
    ]
    text: str
    expected: str = ""
    found: str = ""


class KeptLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message in a mailbox, and the part that has it whole; else `missing` says why not."""

    node: str
    address: str
    name: str
    message: str
    part: str = ""
    missing: str = ""


def digest_of(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return sha256(content).hexdigest()


def line_table(content: bytes) -> LineTable:
    """Of the lines of a text."""
    lines = content.splitlines(keepends=True)
    return LineTable(len(lines), sum_of(lines))


def sum_of(lines: Iterable[bytes]) -> str:
    """The sum of their digests, whatever their order."""
    total = sum(int.from_bytes(sha256(line).digest()) for line in lines)
    return f"{total % (1 << 256):064x}"


def letter_part(node: str, address: str, number: int) -> str:
    """Where a message stands: a path that is safe in every world, whatever the address is."""
    return f"{LETTERS}{quote(node, safe='')}/{quote(address, safe='@+')}/{number}.eml"


def path_trouble(name: str) -> str:
    """Why nothing of a bundle may have that name; or nothing."""
    if name.startswith(("/", "\\")) or _DRIVE.match(name):
        return "is an absolute path"
    if ".." in PurePosixPath(name.replace("\\", "/")).parts:
        return "leads out of the bundle"
    if "\\" in name or "\0" in name or name.endswith("/") or not name:
        return "is no name of a part"
    return ""


def most_of(name: str) -> int:
    """How many bytes a part of that name may have."""
    return MOST_RUN if name == RUN else MOST_OTHER
