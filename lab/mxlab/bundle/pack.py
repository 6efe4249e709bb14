"""A run's bundle, written: the same run makes the same bytes, on every machine with the same zlib.

Guarantee: the file is there whole or not at all; what was there before stays until then.
"""

import contextlib
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from mxlab.bundle.gather import OURS, ForBundle, versions
from mxlab.bundle.parts import (
    FORMAT,
    KIND,
    MAILBOXES,
    MANIFEST,
    MIB,
    MOST_FILE,
    MOST_PARTS,
    MOST_TOGETHER,
    QUEUES,
    REPORT,
    REPORT_PAGE,
    REPORT_TEXT,
    RUN,
    TOPOLOGY,
    VERSIONS,
    BundlePart,
    Manifest,
    digest_of,
    line_table,
    most_of,
)
from mxlab.errors import EnvironmentProblem
from mxlab.report.document import to_json
from mxlab.report.html import html
from mxlab.report.recording import record
from mxlab.report.text import text
from mxlab.runner.result import RunResult
from mxlab.visible import exact_json

MOMENT = (1980, 1, 1, 0, 0, 0)  # of every entry: zip knows no earlier one
LEVEL = 6  # of deflate


class EvidenceBundle:
    """What a run's bundle is made of."""

    def __init__(self, result: RunResult, kept: ForBundle) -> None:
        self._result, self._files, self._contents = result, kept.files, kept.contents

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """Every part but the manifest, in order."""
        yield from self._files.items()
        yield VERSIONS, _json(versions(self._result.trace, self._contents.engine))
        yield RUN, record(self._result)
        yield from derived(self._result).items()
        yield MAILBOXES, _json(self._contents.letters)
        yield from self._contents.whole()

    def manifest(self) -> Manifest:
        """What stands in front. Raises EnvironmentProblem for a run that no bundle can hold."""
        found = [
            BundlePart(name, len(data), digest_of(data), line_table(data) if name == RUN else None)
            for name, data in self.parts()
        ]
        for part in found:
            if part.size > most_of(part.name):
                raise too_large(f"{part.name} has {part.size} bytes", most_of(part.name))
        if len(found) > MOST_PARTS:
            raise too_large(f"it would have {len(found)} parts", MOST_PARTS)
        if (together := sum(part.size for part in found)) > MOST_TOGETHER:
            raise too_large(f"its parts have {together} bytes together", MOST_TOGETHER)
        result = self._result
        return Manifest(
            kind=KIND,
            format=FORMAT,
            mxlab=OURS,
            run=result.run_id,
            scenario=result.scenario.id,
            backend=result.backend,
            seed=result.seed,
            verdict=result.verdict,
            parts=tuple(found),
        )

    def write(self, path: Path) -> None:
        """Write the file. Raises EnvironmentProblem where it cannot be."""
        manifest = _json(self.manifest())
        try:
            with _whole_file(path) as file:
                with zipfile.ZipFile(
                    file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL
                ) as zipped:
                    zipped.writestr(_entry(MANIFEST), manifest)
                    for name, data in self.parts():
                        zipped.writestr(_entry(name), data)
                if file.tell() > MOST_FILE:
                    raise too_large(f"it would have {file.tell()} bytes", MOST_FILE)
        except OSError as error:
            raise EnvironmentProblem(f"the bundle could not be written: {error}") from error


def derived(result: RunResult) -> dict[str, bytes]:
    """The parts that follow from a run's events and evidence alone."""
    return {
        TOPOLOGY: _json(result.evidence.topology),
        QUEUES: _json(result.evidence.queues),
        REPORT: to_json(result).encode(),
        REPORT_TEXT: text(result).encode(),
        REPORT_PAGE: html([result]).encode(),
    }


def too_large(what: str, most: int) -> EnvironmentProblem:
    """A run that no bundle can hold."""
    return EnvironmentProblem(
        f"the bundle could not be written: {what}, and {most} is the most",
        "`--record` keeps the run without its messages",
    )


def _json(value: object) -> bytes:
    return exact_json(msgspec.to_builtins(value, str_keys=True), indent=2).encode() + b"\n"


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, MOMENT)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # so that the mode means something
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which is at `path` when all went well; a pipe or a device gets it then."""
    device = path.exists() and not path.is_file()
    folder = None if device else path.resolve().parent
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".mxlab-", delete=False) as file:
        try:
            yield file
            file.flush()
            if device:
                file.seek(0)
                with path.open("wb") as out:
                    shutil.copyfileobj(file, out, MIB)
            else:
                os.fsync(file.fileno())
                mask = os.umask(0)
                os.umask(mask)
                os.chmod(file.name, 0o666 & ~mask)  # noqa: PTH101
                os.replace(file.name, path.resolve())  # noqa: PTH105
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file.name)  # noqa: PTH108
