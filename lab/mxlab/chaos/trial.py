"""Runs one schedule in the simulation, and says what was wrong.

A trial depends on the schedule and the code alone: twice the same gives the same digest.
"""

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.chaos.rare import reached
from mxlab.chaos.schedule import ChaosSchedule
from mxlab.model.finding import Finding, Verdict
from mxlab.runner.runner import RunResult, run

YEAR = 365.25 * 86400.0
MOST_TURNS = 50_000  # turns of the loop in one trial; the usual is below 1,000
PIECES = 4  # times as many where streams are cut: each piece takes one


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a schedule. `wrong` is empty where every invariant held; `lab_seconds` is the
    virtual time that passed; `digest` covers every event; `reached`: names of rare states."""

    schedule: ChaosSchedule
    wrong: tuple[Finding, ...]
    lab_seconds: float
    digest: str
    reached: frozenset[str] = frozenset()


def try_out(schedule: ChaosSchedule) -> Trial:
    """Run it on a loop of its own, heal, drain and judge. Whatever a service or the simulation
    raises or logs as an error is a finding too."""
    scenario = schedule.scenario()
    with _errors() as errors:
        try:
            result = simulate(
                lambda: run(scenario, SimBackend(), lab="chaos", run_id="chaos"),
                MOST_TURNS if schedule.cut is None else MOST_TURNS * PIECES,
            )
        except Exception as error:  # noqa: BLE001 - a crash is what this looks for
            crash = Finding("no-crash", Verdict.FAIL, f"{type(error).__name__}: {error}")
            return Trial(schedule, (crash,), 0.0, "")
    wrong = [finding for finding in result.findings if finding.verdict is not Verdict.PASS]
    if errors:
        text = f"{len(errors)} errors were logged"
        wrong.append(Finding("no-errors-logged", Verdict.FAIL, text, tuple(errors[:20])))
    seen = reached(result.trace)
    return Trial(schedule, tuple(wrong), result.lab_seconds, digest_of(result), seen)


def digest_of(result: RunResult) -> str:
    """SHA-256 (hex) of all events, node by node, and of the findings."""
    said = sorted(result.trace.by_node.items()), result.findings
    return hashlib.sha256(msgspec.msgpack.encode(said)).hexdigest()


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what bears a traceback, and what asyncio complains of: a service may say in plain
        words that a disk is full."""
        if record.exc_info or record.name == "asyncio":
            self.lines += self.format(record).splitlines()


@contextlib.contextmanager
def _errors() -> Iterator[list[str]]:
    """Collect what the services and asyncio log as errors; asyncio tells of lost exceptions so."""
    handler = _Errors()
    loggers = [logging.getLogger(name) for name in ("mxlab_services", "asyncio")]
    kept = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield handler.lines
    finally:
        for logger, propagate in zip(loggers, kept, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate
