"""What a bundle says, against what follows from its own recording.

What another version of mxlab wrote is compared by its meaning: verdicts, queues, messages, the
story. The words of reports are compared where the version is the same.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from mxlab.bundle.gather import OURS, products, story_names
from mxlab.bundle.order import out_of_order
from mxlab.bundle.pack import derived
from mxlab.bundle.parts import (
    LETTERS,
    MAILBOXES,
    MANIFEST,
    QUEUES,
    REPORT,
    RUN,
    SCENARIO,
    TOPOLOGY,
    VERSIONS,
    Difference,
    KeptLetter,
    Versions,
)
from mxlab.bundle.unpack import OpenBundle
from mxlab.errors import LabError
from mxlab.model.finding import Finding
from mxlab.model.scenario import Scenario
from mxlab.plan.software import with_software
from mxlab.report.recording import record, recorded_findings
from mxlab.runner.result import RunResult
from mxlab.scenario.load import loads
from mxlab_services.control.replies import MailboxEntry
from mxlab_services.message import content_digest

_BY_VALUE = (TOPOLOGY, QUEUES)


def contradictions(bundle: OpenBundle, data: bytes, result: RunResult) -> Iterator[Difference]:
    """Everything in which a bundle, whose recording `data` was judged to `result`, contradicts
    itself. Raises Damaged for a part that cannot be read."""
    same = bundle.manifest.mxlab == OURS
    yield from _verdicts(recorded_findings(data), result, same=same)
    yield from _recording(data, result, same=same)
    yield from _head(bundle, result)
    yield from _versions(bundle, result)
    yield from _derived(bundle, result, same=same)
    yield from _letters(bundle, result)
    yield from _story(bundle, result.scenario, same=same)


def _wrong(part: str, text: str) -> Difference:
    return Difference(part, "contradiction", text)


def _verdicts(
    stored: tuple[Finding, ...], result: RunResult, *, same: bool
) -> Iterator[Difference]:
    """Findings that no longer follow from events and evidence."""
    by_check = {finding.check: finding for finding in stored}
    for finding in result.findings:
        was = by_check.get(finding.check)
        if was is None:
            text = f"{finding.check}: no verdict is stored; {finding.verdict} follows: "
            yield _wrong(RUN, text + finding.text)
        elif was.verdict is not finding.verdict:
            text = f"{finding.check}: {was.verdict} is stored; {finding.verdict} follows: "
            yield _wrong(RUN, text + finding.text)
        elif same and was != finding:
            text = f"{finding.check}: {was.text!r} is stored; {finding.text!r} follows"
            yield _wrong(RUN, text)


def _recording(data: bytes, result: RunResult, *, same: bool) -> Iterator[Difference]:
    """Events in an order in which they are never written; anything that mxlab writes otherwise."""
    if where := out_of_order(data):
        yield Difference(RUN, "reordered", f"its events stand in another order: {where}")
    elif same and tuple(recorded_findings(data)) == result.findings and record(result) != data:
        yield _wrong(RUN, "it is not as mxlab writes what it says")


def _head(bundle: OpenBundle, result: RunResult) -> Iterator[Difference]:
    manifest = bundle.manifest
    pairs = {
        "run": (manifest.run, result.run_id),
        "scenario": (manifest.scenario, result.scenario.id),
        "backend": (manifest.backend, result.backend),
        "seed": (manifest.seed, result.seed),
        "verdict": (manifest.verdict, result.verdict),
    }
    for key, (stored, follows) in pairs.items():
        if stored != follows:
            yield _wrong(MANIFEST, f"{key}: {stored} is stored; {follows} follows from {RUN}")


def _versions(bundle: OpenBundle, result: RunResult) -> Iterator[Difference]:
    if (stored := _decoded(bundle, VERSIONS, Versions)) is None:
        yield _wrong(VERSIONS, "it is not what mxlab writes there")
        return
    if stored.mxlab != bundle.manifest.mxlab:
        text = f"mxlab {stored.mxlab} is stored; {MANIFEST} says {bundle.manifest.mxlab}"
        yield _wrong(VERSIONS, text)
    if stored.products != (told := products(result.trace)):
        text = f"products: {stored.products} are stored; the nodes told of {told}"
        yield _wrong(VERSIONS, text)


def _derived(bundle: OpenBundle, result: RunResult, *, same: bool) -> Iterator[Difference]:
    for name, follows in derived(result).items():
        stored = bundle.read(name)
        if same or name in _BY_VALUE:
            if stored != follows and (same or _plain(stored) != _plain(follows)):
                yield _wrong(name, f"it is not what follows from {RUN}")
        elif name == REPORT:
            said = _plain(stored)
            verdict = said.get("verdict") if isinstance(said, dict) else None
            if verdict != result.verdict:
                yield _wrong(name, f"{verdict} is stored; {result.verdict} follows from {RUN}")


def _letters(bundle: OpenBundle, result: RunResult) -> Iterator[Difference]:
    """The messages, against what the evidence says that lay in the mailboxes."""
    letters = _decoded(bundle, MAILBOXES, list[KeptLetter])
    entries = [
        (node, entry)
        for node, found in sorted(result.evidence.mailboxes.items())
        for entry in found
    ]
    if letters is None or [_key(node, entry) for node, entry in entries] != [
        (one.node, one.address, one.name, one.message) for one in letters
    ]:
        yield _wrong(MAILBOXES, f"its messages are not those of the evidence in {RUN}")
        return
    named = {one.part for one in letters if one.part}
    for name in bundle.names:
        if name.startswith(LETTERS) and name not in named:
            yield _wrong(name, f"{MAILBOXES} knows no such message")
    for (_, entry), letter in zip(entries, letters, strict=True):
        if letter.part and letter.part not in bundle:
            yield _wrong(letter.part, f"{MAILBOXES} names it, and it is not there")
        elif letter.part:
            content = bundle.read(letter.part)
            if (len(content), content_digest(content)) != (entry.size, entry.digest):
                text = f"it is not the message {entry.message} of the evidence in {RUN}"
                yield _wrong(letter.part, text)


def _key(node: str, entry: MailboxEntry) -> tuple[str, str, str, str]:
    return node, entry.address, entry.name, entry.message


def _story(bundle: OpenBundle, scenario: Scenario, *, same: bool) -> Iterator[Difference]:
    """The scenario's files, read again here, against the story that was played."""
    wanted = [SCENARIO + name for name in story_names(scenario)]
    here = [name for name in bundle.names if name.startswith(SCENARIO)]
    for name in wanted:
        if name not in here:
            yield _wrong(name, "the story that was played needs this file, and it is not there")
    for name in here:
        if name not in wanted:
            yield _wrong(name, "the story that was played has no such file")
    if scenario.origin is None or wanted[0] not in here:
        return
    try:
        read = _read_again(bundle.read(wanted[0]).decode("utf-8-sig"), scenario)
    except (LabError, UnicodeDecodeError) as error:
        if same:
            yield _wrong(wanted[0], f"it is not the story that was played: {error}")
        return
    fields = (field.name for field in msgspec.structs.fields(scenario))
    if unlike := [one for one in fields if getattr(read, one) != getattr(scenario, one)]:
        text = f"it is not the story that was played: not the same {', '.join(unlike)}"
        yield _wrong(wanted[0], text)


def _read_again(text: str, played: Scenario) -> Scenario:
    """The story in `text`, its hosts with the software that they had. Raises LabError."""
    read = loads(text, played.origin.file if played.origin else "", played.id)
    has = read.topology.software
    wanted = {
        host: kind for host, kind in played.topology.software.items() if has.get(host) != kind
    }
    return msgspec.structs.replace(read, topology=with_software(read.topology, wanted))


def _decoded(bundle: OpenBundle, name: str, kind: Any) -> Any:
    """A part of that type; None where it is none."""
    try:
        return msgspec.json.decode(bundle.read(name), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _plain(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
