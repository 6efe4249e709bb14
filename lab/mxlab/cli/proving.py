"""exercise prove: exercises one after the other, their seats side by side, and what is told."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxlab.backends.registry import backend_named, known
from mxlab.cli.hands import type_command
from mxlab.cli.output import Waiting, complain, note, say, say_json
from mxlab.cli.remarks import row_of, tell_row
from mxlab.cli.running import work
from mxlab.errors import EXIT_FAILED, EXIT_OK, LabError, Unsupported
from mxlab.learn.proof import SEATS, Proof, Seat, Subject, proven, subject_in, walk_really
from mxlab.learn.seats import simulated

WORLDS = ("sim", "process", "docker")


@dataclass(frozen=True, slots=True)
class ProofOrder:
    """Where and in which seats; `every`: all that there are, so that one that is not for this world
    is passed over with a word."""

    backend: str
    first: int
    seats: int | None
    jobs: int | None
    every: bool

    @property
    def seeds(self) -> range:
        count = self.seats or (SEATS if self.backend == "sim" else 1)
        return range(self.first, self.first + count)


def prove_all(files: Sequence[Path], order: ProofOrder, json: bool) -> int:
    """Prove them, tell of each, and return the exit code of the worst."""
    known(order.backend, WORLDS)
    codes, rows = {EXIT_OK}, []
    for path, outcome in _outcomes(files, order):
        name = path.parent.name if path.parent.name else path.name
        match outcome:
            case Unsupported() if order.every:
                rows.append({"exercise": name, "verdict": "left out", "reason": str(outcome)})
                if not json:
                    say(f"left out  {name}: {outcome}")
            case LabError():
                codes.add(outcome.exit_code)
                complain(outcome)
            case Proof():
                codes.add(EXIT_FAILED if outcome.refusals else EXIT_OK)
                rows.append(_row(outcome))
                if not json:
                    _tell(outcome)
    if json:
        say_json(rows)
    return max(codes)


def _outcomes(files: Sequence[Path], order: ProofOrder) -> Iterator[tuple[Path, Proof | LabError]]:
    """What came of each, as soon as it is known."""
    subjects: dict[Path, Subject] = {}
    for path in files:
        try:
            subjects[path] = subject_in(path)
        except LabError as error:
            yield path, error
    if order.backend == "sim":
        for subject, outcome in simulated(
            list(subjects.values()), order.seeds, type_command, order.jobs
        ):
            yield subject.path, outcome
        return
    for path, subject in subjects.items():
        try:
            yield path, proven(subject, [_really(subject, seed, order) for seed in order.seeds])
        except LabError as error:
            yield path, error


def _really(subject: Subject, seed: int, order: ProofOrder) -> Seat:
    """One seat in a lab that is brought up for it."""

    async def walk() -> Seat:
        backend, lab = backend_named(order.backend), f"proof-{secrets.token_hex(4)}"
        with Waiting() as progress:

            def tell(text: str) -> None:
                progress(f"{subject.id}, seed {seed}: {text}")

            await backend.prepare(tell)
            return await walk_really(subject, seed, type_command, backend, lab, tell)

    return work(walk())


def _row(proof: Proof) -> dict[str, Any]:
    return {
        "exercise": proof.exercise,
        "verdict": "refused" if proof.refusals else "proven",
        "seeds": list(proof.seeds),
        "tasks": proof.tasks,
        "seconds": round(proof.seconds, 3),
        "refusals": [row_of(error, "error") for error in proof.refusals],
    }


def _tell(proof: Proof) -> None:
    seats, tasks = len(proof.seeds), proof.tasks
    of = f"{tasks} task{'s' * (tasks > 1)} in {seats} seat{'s' * (seats > 1)}"
    if not proof.refusals:
        say(f"proven    {proof.exercise}: {of}")
        return
    say(f"refused   {proof.exercise}: {of}")
    for error in proof.refusals:
        tell_row(row_of(error, "error"))
    note(f"mxlab: {proof.exercise}: {len(proof.refusals)} to be mended")
