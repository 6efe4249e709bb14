"""Bundles of evidence, taken apart and put together again, as who wants to deceive might do it."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.bundle.gather import ForBundle, for_bundle
from mxlab.bundle.pack import EvidenceBundle
from mxlab.bundle.parts import MANIFEST, RUN, line_table
from mxlab.model.scenario import Scenario
from mxlab.runner import runner
from mxlab.runner.result import RunResult

Parts = dict[str, bytes]


@contextmanager
def simulated(scenario: Scenario) -> Iterator[tuple[RunResult, ForBundle]]:
    """A run in the simulation, and what its bundle has beside it."""
    kept = for_bundle(scenario)
    with kept.contents as contents:
        result = simulate(
            lambda: runner.run(scenario, SimBackend(), lab="b", run_id="b", witness=contents)
        )
        yield result, kept


def bundled(scenario: Scenario, path: Path) -> RunResult:
    """A run in the simulation, its bundle at `path`."""
    with simulated(scenario) as (result, kept):
        EvidenceBundle(result, kept).write(path)
        return result


def taken_apart(path: Path) -> Parts:
    with zipfile.ZipFile(path) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


def put_together(parts: Mapping[str, bytes], path: Path) -> Path:
    """The parts in a zip file, as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in parts.items():
            zipped.writestr(name, data)
    return path


def resealed(parts: Parts) -> Parts:
    """The parts with all checksums made anew, as if they had been written so."""
    parts = dict(parts)
    parts[RUN] = sealed_run(parts[RUN].splitlines(keepends=True)[:-1])
    head = json_of(parts, MANIFEST)
    head["parts"] = [
        {"name": name, "size": len(data), "sha256": sha256(data).hexdigest()}
        | ({"lines": msgspec.to_builtins(line_table(data))} if name == RUN else {})
        for name, data in parts.items()
        if name != MANIFEST
    ]
    return parts | {MANIFEST: msgspec.json.encode(head)}


def sealed_run(lines: list[bytes]) -> bytes:
    """A recording of these lines, with a last one that fits them."""
    body = b"".join(lines)
    end = {"kind": "run.end", "lines": len(lines), "sha256": sha256(body).hexdigest()}
    return body + msgspec.json.encode(end) + b"\n"


def json_of(parts: Mapping[str, bytes], name: str) -> Any:
    return msgspec.json.decode(parts[name])
