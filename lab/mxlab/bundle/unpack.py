"""A bundle's file, read within bounds: nothing is extracted, nothing is read before its size is
known, and what is no bundle is refused before any of it is unpacked.
"""

import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from mxlab.bundle.parts import (
    FORMAT,
    KIND,
    MANIFEST,
    MOST_DIRECTORY,
    MOST_FILE,
    MOST_PARTS,
    MOST_TOGETHER,
    RUN,
    Manifest,
    most_of,
    path_trouble,
)
from mxlab.errors import Damaged, UsageError
from mxlab.report.recording import HINT

_END = struct.Struct("<4s4H2LH")  # the end of its directory
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_WRONG = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, struct.error)
_NEVER = "nothing of it was unpacked"


class OpenBundle:
    """The parts of an open bundle. `twice`: names that stand there more than once."""

    def __init__(self, zipped: zipfile.ZipFile, manifest: Manifest) -> None:
        self._zipped, self.manifest = zipped, manifest
        counts = Counter(info.orig_filename for info in zipped.infolist())
        self.twice = sorted(name for name, count in counts.items() if count > 1)
        self._infos = {info.orig_filename: info for info in zipped.infolist()}

    @property
    def names(self) -> list[str]:
        """Of all that is there beside the manifest."""
        return [name for name in self._infos if name != MANIFEST]

    def __contains__(self, name: str) -> bool:
        return name in self._infos

    def read(self, name: str) -> bytes:
        """A part, unpacked. Raises Damaged where it cannot be."""
        return _read(self._zipped, self._infos[name])


@contextmanager
def unpacked(path: Path) -> Iterator[OpenBundle]:
    """Open a bundle. Raises UsageError for what is none, or is larger than one may be, or of
    another format; Damaged for one that is cut off or whose manifest cannot be read."""
    try:
        with path.open("rb") as file:
            _look_at_end(file, path)
            with _zip(file, path) as zipped:
                _refuse(zipped, path)
                yield OpenBundle(zipped, _manifest(zipped, path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _look_at_end(file: IO[bytes], path: Path) -> None:
    """What the last bytes say of the directory, before it is read whole."""
    size = file.seek(0, 2)
    if size > MOST_FILE:
        raise UsageError(f"{path} is no bundle: it has more than {MOST_FILE} bytes", _NEVER)
    file.seek(max(0, size - _END.size))
    tail = file.read()
    if len(tail) < _END.size or not tail.startswith(b"PK\5\6") or tail[-2:] != b"\0\0":
        raise Damaged(f"{path} is cut off, or something stands behind its end", HINT)
    _, _, _, _, count, length, _, _ = _END.unpack(tail)
    if count == 0xFFFF or length == 0xFFFFFFFF:
        count, length = _end64(file, size, path)
    if length > MOST_DIRECTORY or count > MOST_PARTS:
        said = f"its directory has {length} bytes for {count} entries"
        raise UsageError(f"{path} is no bundle: {said}", _NEVER)


def _end64(file: IO[bytes], size: int, path: Path) -> tuple[int, int]:
    """How many entries there are, and how long the directory is, where it is a large one."""
    try:
        file.seek(size - _END.size - _LOCATOR.size)
        mark, _, where, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
        file.seek(where)
        found = _END64.unpack(file.read(_END64.size))
    except (OSError, ValueError, OverflowError, struct.error) as error:
        raise Damaged(f"{path} is damaged: the end of its directory", HINT) from error
    if mark != b"PK\6\7" or found[0] != b"PK\6\6":
        raise Damaged(f"{path} is damaged: the end of its directory", HINT)
    return int(found[7]), int(found[8])


@contextmanager
def _zip(file: IO[bytes], path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        zipped = zipfile.ZipFile(file)
    except _WRONG as error:
        raise Damaged(f"{path} is damaged: its directory cannot be read: {error}", HINT) from error
    with zipped:
        yield zipped


def _refuse(zipped: zipfile.ZipFile, path: Path) -> None:
    """Raise UsageError for a file that mxlab never wrote, whatever became of it since."""
    infos = zipped.infolist()
    if len(infos) > MOST_PARTS:
        raise UsageError(f"{path} is no bundle: it has {len(infos)} entries", _NEVER)
    for info in infos:
        if wrong := path_trouble(info.orig_filename):
            raise UsageError(f"{path} is no bundle: {info.orig_filename!r} {wrong}", _NEVER)
        if info.flag_bits & 0x1:
            raise UsageError(f"{path} is no bundle: {info.orig_filename} is encrypted", _NEVER)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            said = f"{info.orig_filename} is packed by method {info.compress_type}"
            raise UsageError(f"{path} is no bundle: {said}", _NEVER)
        if info.file_size > most_of(info.orig_filename):
            said = f"{info.orig_filename} would have {info.file_size} bytes"
            raise UsageError(f"{path} is no bundle: {said}", _NEVER)
    together = sum(info.file_size for info in infos)
    if together > MOST_TOGETHER:
        said = f"its parts would have {together} bytes together"
        raise UsageError(f"{path} is no bundle: {said}", _NEVER)


def _read(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """An entry: never more than its directory says, whatever is packed there."""
    try:
        with zipped.open(info) as file:
            return file.read(info.file_size + 1)
    except (*_WRONG, OSError, RuntimeError, UnicodeError) as error:
        raise Damaged(f"{info.orig_filename} cannot be unpacked: {error}", HINT) from error


class _ManifestHead(msgspec.Struct, frozen=True):
    """What a manifest of any format has."""

    kind: Any = None
    format: Any = None
    mxlab: Any = ""


def _manifest(zipped: zipfile.ZipFile, path: Path) -> Manifest:
    info = next((one for one in zipped.infolist() if one.orig_filename == MANIFEST), None)
    if info is None and RUN in zipped.namelist():
        raise Damaged(f"{path} is damaged: {MANIFEST} is missing", HINT)
    if info is None:
        raise UsageError(f"{path} is a zip file, and no bundle: it has no {MANIFEST}")
    data = _read(zipped, info)
    try:
        beginning = msgspec.json.decode(data, type=_ManifestHead)
        if beginning.kind != KIND:
            raise UsageError(f"{path} is a zip file, and no bundle: its {MANIFEST} is another's")
        if isinstance(beginning.format, int) and beginning.format != FORMAT:
            raise UsageError(
                f"{path} is of format {beginning.format}; this mxlab reads {FORMAT}",
                f"mxlab {beginning.mxlab} wrote it",
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"{path} is damaged: {MANIFEST} cannot be read: {error}", HINT) from error
    names = [part.name for part in manifest.parts]
    if len(set(names)) < len(names) or MANIFEST in names:
        raise Damaged(f"{path} is damaged: {MANIFEST} names a part twice", HINT)
    return manifest
