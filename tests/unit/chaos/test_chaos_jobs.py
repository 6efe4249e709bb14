"""Chaos with several processes: the same finding as with one, a clean end, no silent loss."""

import hashlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mxlab.chaos import block
from mxlab.chaos.jobs import WorkerLost
from mxlab.chaos.schedule import ChaosSchedule
from mxlab.chaos.search import search
from mxlab.chaos.tally import BLOCK, Tally
from mxlab.chaos.trial import Trial
from mxlab.cli.app import app
from mxlab.model.finding import Finding, Verdict

WRONG = (Finding("rare", Verdict.FAIL, "one in 150"),)


def rare(schedule: ChaosSchedule) -> Trial:
    """A trial in a moment that fails for one schedule in 150, by chance but always the same."""
    number = hashlib.sha256(repr(schedule).encode()).digest()
    return Trial(schedule, WRONG if int.from_bytes(number) % 150 == 0 else (), 1.0, "")


@pytest.mark.parametrize("seed", range(2))
def test_any_number_of_jobs_finds_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "try_out", rare)
    alone = search(seed=seed, runs=2000, shrinking=50)
    assert alone.found is not None
    for jobs in (2, 3):
        together = search(seed=seed, runs=2000, shrinking=50, jobs=jobs)
        assert together.found == alone.found
        assert together.found_after == alone.found_after
        assert together.shrinking == alone.shrinking


def test_some_finding_lies_beyond_the_first_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would show little."""
    monkeypatch.setattr(block, "try_out", rare)
    found = (search(seed=seed, runs=2000, shrinking=0).found_after or 0 for seed in range(30))
    assert any(after > 2 * BLOCK for after in found)


def test_what_a_run_tries_does_not_depend_on_how_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[ChaosSchedule] = []

    def noted(schedule: ChaosSchedule) -> Trial:
        tried.append(schedule)
        return Trial(schedule, (), 1.0, "")

    monkeypatch.setattr(block, "try_out", noted)
    search(seed=3, runs=2 * BLOCK + 30)
    many = tried.copy()
    tried.clear()
    search(seed=3, runs=2 * BLOCK + 10)
    assert tried == many[: len(tried)]
    assert len(tried) < len(many)


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_all_runs_are_done_and_counted(jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "try_out", lambda schedule: Trial(schedule, (), 2.0, ""))
    told: list[int] = []

    def progress(tally: Tally) -> None:
        told.append(tally.runs)

    tally = search(seed=1, runs=3 * BLOCK + 1, jobs=jobs, progress=progress)
    assert tally.found is None
    assert tally.runs == 3 * BLOCK + 1
    assert tally.lab_seconds == 2.0 * (tally.runs - tally.repeats)
    assert told == sorted(told)
    assert told[-1] == tally.runs


def test_jobs_end_with_their_time() -> None:
    assert search(seed=1, seconds=0.0, jobs=2).runs == 0


def test_a_worker_that_dies_is_an_error_that_says_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def dies(schedule: ChaosSchedule) -> Trial:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    monkeypatch.setattr(block, "try_out", dies)
    with pytest.raises(WorkerLost, match=r"SIGKILL in runs \d+ to \d+ of seed 8"):
        search(seed=8, runs=1000, jobs=2)
    out = str(tmp_path / "found.yaml")
    done = CliRunner().invoke(app, ["chaos", "--seed", "8", "--jobs", "2", "--out", out])
    assert done.exit_code == 3
    assert "--jobs 1" in done.output


def test_a_bug_in_a_worker_is_raised_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> Tally:
        raise LookupError("a bug")

    monkeypatch.setattr("mxlab.chaos.jobs.search_block", fails)
    with pytest.raises(RuntimeError, match="LookupError: a bug"):
        search(seed=8, runs=1000, jobs=2)


def test_ctrl_c_ends_all_processes_and_tells_what_there_is(tmp_path: Path) -> None:
    arguments = ["chaos", "--jobs", "2", "--time", "10m", "--seed", "1", "--out", "found.yaml"]
    chaos = subprocess.Popen(
        [sys.executable, "-c", "from mxlab.cli import main; main()", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert chaos.stderr is not None
    for line in chaos.stderr:
        if re.match(r"mxlab: \d+ runs", line):
            break
    os.killpg(chaos.pid, signal.SIGINT)  # as a terminal does
    out, err = chaos.communicate()
    assert chaos.returncode == 130, err
    assert "interrupted; nothing was found so far" in out
    assert "Traceback" not in err
    with pytest.raises(ProcessLookupError):  # nobody of its group is left
        os.killpg(chaos.pid, 0)
