"""A class, rehearsed: students work through a track, and a table says whether the machine will do.

What limits is told from samples of the machine (Linux: /proc), taken while they work.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx
import msgspec

from mxlab.classroom.plan import ClassPlan
from mxlab.classroom.students import KINDS, RehearsalTally, Student, StudentRequest, all_at_once
from mxlab.errors import EnvironmentProblem, UsageError
from mxlab.exercise.load import exercise_ids, load_exercise
from mxlab.exercise.show import TRACKS

SOON = 1.0  # real seconds in which a check should be answered
SHARE = 0.95  # of the checks
TICK = 0.5  # real seconds between two samples
BUSY, TIGHT = 0.9, 0.1  # of all processors in use; of all memory that is left
BUSIEST = 0.2  # of the samples that have to be busy before the processor is what limits


class KindRow(msgspec.Struct, frozen=True):
    """How long requests of a kind took, in real seconds."""

    kind: str
    asked: int
    refused: int
    median: float
    p95: float
    longest: float


class RehearsalReport(msgspec.Struct, frozen=True):
    """What a rehearsal came to. Memory in MB. `will_do`: enough checks came soon enough, nobody had
    to give up, and nothing of the machine ran out."""

    seats: int
    exercises: int
    finished: int
    seconds: float
    rows: list[KindRow]
    soon: float
    slowest: str
    most: int
    fullest: float
    memory_a_seat: float
    memory_left: float
    processor_a_seat: float
    limit: str
    verdicts: dict[str, int]
    gave_up: list[str]
    will_do: bool


@dataclass
class Samples:
    """The machine while they work: shares of all processors in use, MB that are left."""

    busy: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    before: float = 0.0
    total: float = 1.0

    async def take(self) -> None:
        """Until cancelled."""
        then = _jiffies()
        while True:
            await asyncio.sleep(TICK)
            now = _jiffies()
            whole = max(1, now[1] - then[1])
            self.busy.append((now[0] - then[0]) / whole)
            self.left.append(_memory()["MemAvailable"])
            then = now


def track_exercises(track: str) -> list[str]:
    """The exercises of a track, in their order. Raises UsageError for no track, or an empty one."""
    if track not in TRACKS:
        raise UsageError(f"no track is called {track!r}", f"known: {', '.join(TRACKS)}")
    every = [load_exercise(name) for name in exercise_ids()]
    own = sorted((one for one in every if one.track == track), key=lambda one: (one.part, one.id))
    return [one.id for one in own]


async def rehearse(
    plan: ClassPlan, root: str, exercises: list[str], *, pace: float, memory_before: float,
    tell: Callable[[int, str], None],
) -> RehearsalReport:  # fmt: skip
    """All seats of the class at `root` work through these exercises. `memory_before`: MB that were
    left before the seats were started, or 0 where nobody knows."""
    tally, samples = RehearsalTally(), Samples(before=memory_before, total=_memory()["MemTotal"])
    loop = asyncio.get_running_loop()
    clients = [_client(root, seat.token) for seat in plan.seats]
    students = [
        Student(seat.number, client, tally, Random(seat.seed), pace)
        for seat, client in zip(plan.seats, clients, strict=True)
    ]
    sampling, began = asyncio.create_task(samples.take()), loop.time()
    try:
        gave_up = await all_at_once(students, exercises, plan.seats[0].seed, tell)
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
        for client in clients:
            await client.aclose()
    return _report(len(students), len(exercises), tally, samples, began, loop.time(), gave_up)


def _client(root: str, token: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=root, headers=headers, timeout=300, trust_env=False)


def _report(
    seats: int, exercises: int, tally: RehearsalTally, samples: Samples, began: float, ended: float,
    gave_up: list[str],
) -> RehearsalReport:  # fmt: skip
    checks = [one for one in tally.asked if one.kind == "check" and one.status == 200]
    soon = sum(one.took <= SOON for one in checks) / len(checks) if checks else 0.0
    slowest = max(checks, key=lambda one: one.took, default=None)
    left = min(samples.left, default=_memory()["MemAvailable"])
    busy = sum(samples.busy) / len(samples.busy) if samples.busy else 0.0
    limit = limiting(samples)
    broken = sum(one.status in (0, 502, 503) for one in tally.asked)
    will_do = soon >= SHARE and not gave_up and not broken and limit != "memory"
    return RehearsalReport(
        seats, exercises, tally.done, round(ended - began, 1), _rows(tally.asked), round(soon, 3),
        f"{slowest.task} at seat {slowest.seat}, {slowest.took:.2f} s" if slowest else "none",
        tally.most, round(tally.fullest - began, 1) if tally.most else 0.0,
        round(max(0.0, samples.before - left) / seats, 1) if samples.before else 0.0,
        round(left, 0), round(busy * _processors() / seats, 3), limit, dict(tally.verdicts),
        gave_up, will_do,
    )  # fmt: skip


def limiting(samples: Samples) -> str:
    """What runs out first: memory, the processor, or nothing."""
    if samples.left and min(samples.left) < TIGHT * samples.total:
        return "memory"
    if samples.busy and sum(b > BUSY for b in samples.busy) > BUSIEST * len(samples.busy):
        return "processor"
    return "nothing"


def _rows(asked: list[StudentRequest]) -> list[KindRow]:
    rows = []
    for kind, words in KINDS.items():
        own = [one for one in asked if one.kind == kind]
        times = sorted(one.took for one in own)
        if times:
            refused = sum(one.status != 200 for one in own)
            rows.append(
                KindRow(words, len(own), refused, _at(times, 0.5), _at(times, 0.95), times[-1])
            )
    return rows


def _at(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))]


def as_lines(report: RehearsalReport) -> list[str]:
    """The report for people."""
    lines = [f"{'what':<20}{'times':>7}{'refused':>9}{'median':>9}{'95 %':>9}{'longest':>9}"]
    lines += [
        f"{row.kind:<20}{row.asked:>7}{row.refused:>9}{row.median:>8.2f}s{row.p95:>8.2f}s"
        f"{row.longest:>8.2f}s"
        for row in report.rows
    ]
    memory = f"{report.memory_a_seat} MB" if report.memory_a_seat else "not known"
    return [
        *lines,
        f"{report.seats} seats, {report.finished} of {report.seats * report.exercises} exercises "
        f"done in {report.seconds} s",
        f"checks within {SOON:.0f} s: {report.soon:.0%} (wanted: {SHARE:.0%}); the slowest: "
        f"{report.slowest}",
        f"the fullest moment: {report.most} requests at once, after {report.fullest} s",
        f"a seat: {memory}, {report.processor_a_seat} of a processor on average; memory left "
        f"at least {report.memory_left:.0f} MB",
        f"what limits: {report.limit}",
        *(f"gave up: {why}" for why in report.gave_up[:5]),
        "This machine will do." if report.will_do else "This machine will not do for so many.",
    ]


def memory_left() -> float:
    """MB. Raises EnvironmentProblem where the kernel does not tell."""
    return _memory()["MemAvailable"]


def _memory() -> dict[str, float]:
    return {
        line.split(":")[0]: int(line.split()[1]) / 1024
        for line in _read("/proc/meminfo").splitlines()
        if line.split()[1].isdecimal()
    }


def _jiffies() -> tuple[int, int]:
    """In use, and in all, of all processors."""
    found = [int(word) for word in _read("/proc/stat").split("\n", 1)[0].split()[1:9]]
    return sum(found) - found[3] - found[4], sum(found)


def _processors() -> int:
    return sum(
        line.startswith("cpu") and line[3:4].isdecimal()
        for line in _read("/proc/stat").splitlines()
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise EnvironmentProblem(
            f"{path} cannot be read, so nothing can be said of this machine: {error.strerror}"
        ) from error
