"""A bundle judged again, with nothing but the file: the same verdict, or what was changed.

First each part is compared with the manifest; then the run is judged anew from its recording, and
what is stored is compared with what follows. The second finds changes whose checksums were made
anew, where they contradict something; who rewrites everything consistently is not found.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mxlab.bundle.gather import OURS
from mxlab.bundle.order import lines_changed
from mxlab.bundle.parts import NEEDED, RUN, BundlePart, Difference, Manifest, digest_of
from mxlab.bundle.stored import contradictions
from mxlab.bundle.unpack import OpenBundle, unpacked
from mxlab.errors import EXIT_INCONCLUSIVE, Damaged, LabError, UsageError
from mxlab.model.finding import Verdict
from mxlab.report.recording import judge_again, left_open
from mxlab.runner.result import RunResult


@dataclass(frozen=True, slots=True)
class CheckedBundle:
    """What came of it. `sha256`: of the whole file; `result`: the run judged again, of which
    nothing is concluded where there are differences; None where it cannot be read."""

    path: Path
    sha256: str
    manifest: Manifest
    differences: tuple[Difference, ...]
    result: RunResult | None

    @property
    def exit_code(self) -> int:
        """The run's own where all is as it was written."""
        if self.differences or self.result is None:
            return EXIT_INCONCLUSIVE
        return self.result.exit_code

    @property
    def verdict(self) -> Verdict:
        return Verdict.UNKNOWN if self.result is None else self.result.verdict


def verify(path: Path) -> CheckedBundle:
    """Check a bundle. Raises UsageError for what is none, Damaged for one of which too little can
    be read to say what was changed."""
    with unpacked(path) as bundle:
        differences = list(_unlike_manifest(bundle))
        result: RunResult | None = None
        try:
            if RUN in bundle:
                data = bundle.read(RUN)
                result = judge_again(data, RUN)
                if not differences:
                    differences += contradictions(bundle, data, result)
        except (Damaged, UsageError) as error:
            if not differences and isinstance(error, UsageError):
                raise
            differences.append(Difference(RUN, "unreadable", str(error)))
        if result is not None and differences:
            result = left_open(result, _why(bundle.manifest, differences))
        return CheckedBundle(path, file_digest(path), bundle.manifest, tuple(differences), result)


def file_digest(path: Path) -> str:
    """The SHA-256 of a whole file. Raises UsageError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _why(manifest: Manifest, differences: list[Difference]) -> str:
    if all(one.kind in ("contradiction", "reordered") and not one.expected for one in differences):
        by = "" if manifest.mxlab == OURS else f"; mxlab {manifest.mxlab} judged it then"
        return f"the bundle contradicts itself{by}"
    return "the bundle is not as it was written"


def _unlike_manifest(bundle: OpenBundle) -> Iterator[Difference]:
    """Parts that are not those that the manifest names."""
    named = {part.name for part in bundle.manifest.parts}
    for part in bundle.manifest.parts:
        if part.name not in bundle:
            yield Difference(part.name, "missing", "it is not there", expected=part.sha256)
        elif (unlike := _unlike(bundle, part)) is not None:
            yield unlike
    for name in bundle.names:
        if name not in named:
            yield Difference(name, "added", "the manifest does not know it")
    for name in bundle.twice:
        yield Difference(name, "added", "it stands there more than once")
    for name in NEEDED:
        if name not in named:
            yield Difference(name, "missing", "the manifest does not name it")


def _unlike(bundle: OpenBundle, part: BundlePart) -> Difference | None:
    try:
        data = bundle.read(part.name)
    except LabError as error:
        return Difference(part.name, "unreadable", str(error), expected=part.sha256)
    found = digest_of(data)
    if (len(data), found) == (part.size, part.sha256):
        return None
    if part.name == RUN:
        return lines_changed(part, data)
    if len(data) < part.size:
        text = f"it has {len(data)} of the {part.size} bytes that were written"
        return Difference(part.name, "truncated", text, part.sha256, found)
    return Difference(part.name, "changed", "it was changed", part.sha256, found)
