"""What the engine's archive API brings: a tar of a folder, unpacked file by file."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

IN_MEMORY = 16 * 1024 * 1024  # bytes of an archive before it goes to a file


def unpack(stream: Iterable[bytes], to: Path) -> None:
    """Write the regular files of the archive below `to`; links, devices and paths that lead out of
    it are left out (a node may have been broken into)."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as archive:
        for chunk in stream:
            archive.write(chunk)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                source = tar.extractfile(member) if member.isreg() else None
                if source is None or path.is_absolute() or ".." in path.parts:
                    continue
                place = to / path
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("wb") as file:
                    shutil.copyfileobj(source, file)
