"""What goes into a bundle and is gone when the run is over: the scenario's files as they are before
it, the messages in the mailboxes while the lab is still up.
"""

import platform
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Self

from mxlab.backends.base import Backend, Lab, TellsEngine
from mxlab.bundle.parts import MIB, SCENARIO, KeptLetter, Versions, letter_part, path_trouble
from mxlab.errors import LabError, UsageError
from mxlab.history.evidence import Evidence
from mxlab.history.trace import Trace
from mxlab.model.scenario import Scenario, walk
from mxlab.model.step import Python, Send
from mxlab.scenario.functions import folder_of, path_problem
from mxlab.scenario.mailfile import read_mail
from mxlab_services.control.requests import MailboxRead
from mxlab_services.events import NodeReady

LIBRARIES = ("aiosmtpd", "aiosmtplib", "cryptography", "dnslib", "docker", "idna", "msgspec")
OURS = version("mxlab")
IN_MEMORY = 32 * MIB  # bytes of messages; more of them wait in a file without a name


def scenario_files(scenario: Scenario) -> dict[str, bytes]:
    """The part of each file that the story is made of, as it is now. A story that was built in
    Python has none.

    Raises UsageError for one that cannot be read, or that no bundle can hold.
    """
    if scenario.origin is None:
        return {}
    folder, found = folder_of(scenario), dict[str, bytes]()
    for name in story_names(scenario):
        if wrong := path_problem(name, folder) or path_trouble(name):
            raise UsageError(f"{name!r} cannot go into a bundle: {wrong}")
        found[SCENARIO + name] = read_mail(folder / name)
    return found


def story_names(scenario: Scenario) -> list[str]:
    """The files that a story is made of, in its folder: its own first, then those that its steps
    name (whole messages, functions)."""
    if scenario.origin is None:
        return []
    names = [Path(scenario.origin.file).name]
    for _, step in walk(scenario.steps):
        match step:
            case Send(eml=eml) if eml:
                names.append(eml)
            case Python(target=target) if target.partition(":")[0].endswith(".py"):
                names.append(target.partition(":")[0])
            case _:
                pass
    return list(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class _Kept:
    letter: KeptLetter
    start: int
    size: int


class Contents:
    """The messages of a lab's mailboxes, each whole, and what is known of the world it ran in. Call
    it with the lab and its evidence, before the lab goes; close it, or use it as a context manager.
    `engine`: as of Versions."""

    def __init__(self) -> None:
        self._kept: list[_Kept] = []
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self.backend: Backend | None = None
        self.engine = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the messages."""
        self._file.close()

    async def __call__(self, lab: Lab, evidence: Evidence) -> None:
        """Read them all. A node that does not answer is no error: its letters say so."""
        if isinstance(self.backend, TellsEngine):
            try:
                self.engine = await self.backend.engine_version()
            except LabError as error:
                self.engine = f"unknown: {error}"
        for name, entries in sorted(evidence.mailboxes.items()):
            numbers: dict[str, int] = {}
            for entry in entries:
                numbers[entry.address] = number = numbers.get(entry.address, 0) + 1
                letter = KeptLetter(name, entry.address, entry.name, entry.message)
                try:
                    asked = MailboxRead(entry.address, entry.name)
                    content = await lab.nodes[name].request(asked)
                except LabError as error:
                    self._keep(letter, b"", missing=str(error))
                else:
                    self._keep(letter, content, part=letter_part(name, entry.address, number))

    def _keep(self, letter: KeptLetter, content: bytes, part: str = "", missing: str = "") -> None:
        letter = KeptLetter(letter.node, letter.address, letter.name, letter.message, part, missing)
        self._kept.append(_Kept(letter, self._file.tell(), len(content)))
        self._file.write(content)

    @property
    def letters(self) -> list[KeptLetter]:
        return [one.letter for one in self._kept]

    def whole(self) -> Iterator[tuple[str, bytes]]:
        """Each message that could be read, under the name of its part."""
        for one in self._kept:
            if one.letter.part:
                self._file.seek(one.start)
                yield one.letter.part, self._file.read(one.size)
        self._file.seek(0, 2)


@dataclass(frozen=True, slots=True)
class ForBundle:
    """What a bundle has beside the run's result. `files`: parts that are there as they were (the
    scenario's, packets); `contents`: what the mailboxes held."""

    files: Mapping[str, bytes]
    contents: Contents


def for_bundle(scenario: Scenario) -> ForBundle:
    """Before a run of that story. Raises UsageError for a file of it that cannot be read."""
    return ForBundle(scenario_files(scenario), Contents())


def versions(trace: Trace, engine: str) -> Versions:
    """What made the run here, now."""
    return Versions(
        mxlab=OURS,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries={name: found for name in LIBRARIES if (found := _installed(name))},
        products=products(trace),
        engine=engine,
    )


def products(trace: Trace) -> dict[str, str]:
    """Node -> the software that it last said it runs, where that is not mxlab's own."""
    said = {
        event.node: event.body.software
        for event in trace.events()
        if isinstance(event.body, NodeReady)
    }
    return {node: software for node, software in sorted(said.items()) if software}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
