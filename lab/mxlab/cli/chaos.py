"""chaos: random outages in the simulation, until one breaks a promise."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import AsJson
from mxlab.cli.output import note, say, say_json
from mxlab.cli.reports import check_writable
from mxlab.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EnvironmentProblem, UsageError

if TYPE_CHECKING:
    from mxlab.chaos.tally import Tally

DEFAULT_TIME = "60s"
SECONDS_BETWEEN = 1.0  # real seconds between two lines of progress
Runs = Annotated[
    int | None, typer.Option("--runs", metavar="N", min=1, help="Stop after so many runs.")
]
Time = Annotated[
    str | None,
    typer.Option("--time", metavar="60s", help="Stop after so long (60s where no --runs)."),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="What is tried (a new one).")]
Out = Annotated[
    Path, typer.Option("--out", metavar="FILE", help="Where a finding's scenario goes.")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", metavar="N", min=1, help="Processes at work (default: one for each core)."
    ),
]


def register(app: typer.Typer) -> None:
    app.command()(chaos)


def chaos(
    runs: Runs = None,
    time: Time = None,
    seed: Seed = None,
    out: Out = Path("chaos.yaml"),
    jobs: Jobs = None,
    json: AsJson = False,
) -> None:
    """Try random outages in the simulation, and keep the smallest that breaks a promise.

    Each run sends mail, breaks hosts and zones, heals all, waits for the queues to drain and checks
    what became of every message. Exit code 1 where something is found, and `mxlab run FILE` plays
    it again.
    """
    import secrets
    from importlib.util import find_spec

    if find_spec("hypothesis") is None:
        raise EnvironmentProblem(
            "chaos draws what it tries with Hypothesis, which is not installed here",
            "pip install 'mxlab[chaos]' (in a checkout: pip install '.[chaos]')",
        )
    check_writable(out)
    seconds = _seconds(time if time is not None or runs is not None else DEFAULT_TIME)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    from mxlab.chaos.jobs import cores
    from mxlab.chaos.search import search

    note(f"mxlab: chaos with seed {seed}" + (f", {runs} runs" if runs else "") + "; Ctrl-C ends it")
    with _no_traces(), _Progress() as progress:
        tally = search(
            seed=seed,
            runs=runs,
            seconds=seconds,
            progress=progress,
            jobs=jobs or cores(),
        )
    _tell(tally, seed, out, json)
    if tally.found is not None:
        raise typer.Exit(EXIT_FAILED)
    raise typer.Exit(EXIT_INTERRUPTED if tally.interrupted else EXIT_OK)


@contextlib.contextmanager
def _no_traces() -> Iterator[None]:
    """Hypothesis keeps a folder of its own, else in the folder where the command is given."""
    import tempfile

    from hypothesis.configuration import set_hypothesis_home_dir

    with tempfile.TemporaryDirectory(prefix="mxlab-chaos-") as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)


def _seconds(text: str | None) -> float | None:
    from mxlab.model.duration import parse_duration

    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--time: {error}") from error


def _tell(tally: "Tally", seed: int, out: Path, json: bool) -> None:
    from mxlab.chaos.rare import RARE
    from mxlab.chaos.trial import YEAR
    from mxlab.chaos.writing import write_finding

    replay = write_finding(tally, seed, out) if tally.found is not None else ""
    rate = tally.runs / tally.seconds if tally.seconds else 0.0
    if json:
        found = tally.found
        say_json(
            {
                "seed": seed,
                "runs": tally.runs,
                "repeats": tally.repeats,
                "simulated_years": tally.lab_seconds / YEAR,
                "seconds": tally.seconds,
                "interrupted": tally.interrupted,
                "findings": list(found.wrong) if found else [],
                "steps": [str(step) for step in found.schedule.scenario().steps] if found else [],
                "found_after": tally.found_after,
                "file": str(out) if found else None,
                "replay": replay or None,
                "reached": {name: tally.reached[name] for name in RARE},
                "never_reached": tally.never_reached,
            }
        )
        return
    say(
        f"{tally.runs} runs ({tally.runs - tally.repeats} different), "
        f"{tally.lab_seconds / YEAR:.2f} simulated years, {rate:.0f} runs a second"
    )
    for name in tally.never_reached:
        say(f"never reached: {RARE[name]} ({name})")
    if tally.found is None:
        say("interrupted; nothing was found so far" if tally.interrupted else "nothing was found")
        return
    say(f"run {tally.found_after} broke a promise; the smallest schedule that does:")
    for number, step in enumerate(tally.found.schedule.scenario().steps, 1):
        say(f"  {number}. {step}")
    for finding in tally.found.wrong:
        say(f"{finding.check}: {finding.text}")
        for line in finding.details[:5]:
            say(f"  {line}")
    say(f"again: {replay}")


class _Progress:
    """A line on standard error once a second: over the last one at a terminal, else now and then,
    ever more seldom."""

    def __init__(self) -> None:
        import sys
        import time

        self._now = time.monotonic
        self._live = sys.stderr.isatty()
        self._next = self._now() + SECONDS_BETWEEN
        self._pause = SECONDS_BETWEEN
        self._shown = False

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self._live:
            typer.echo(err=True)

    def __call__(self, tally: "Tally") -> None:
        now = self._now()
        if now < self._next:
            return
        self._pause = self._pause if self._live else min(2 * self._pause, 60.0)
        self._next = now + self._pause
        from mxlab.chaos.trial import YEAR

        text = f"mxlab: {tally.runs} runs, {tally.lab_seconds / YEAR:.2f} simulated years"
        if tally.found is not None:
            steps = len(tally.found.schedule.scenario().steps)
            text += f"; found something, shrinking: {steps} steps ({tally.shrinking} tries)"
        typer.echo(f"\r\x1b[K{text}" if self._live else text, nl=not self._live, err=True)
        self._shown = True
