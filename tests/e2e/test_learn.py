"""`mxlab learn` as a student uses it: on a lab of processes, from their own terminal, or two."""

import csv
import io
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import MXLAB, SECONDS, Lab

EXERCISE = Path(__file__).parent.parent / "unit/exercise/where-is-it.yaml"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "state")
    made.environment["MXLAB_LEARN"] = str(tmp_path / "learn")
    yield made
    made.run("down")


def begun(lab: Lab, seed: int = 3) -> dict[str, str]:
    """Begin the exercise in that seat; the names that were drawn for it."""
    lab("learn", "start", str(EXERCISE), "--seed", str(seed))
    nodes = [one["node"] for one in json.loads(lab("status", "--json"))[0]["nodes"]]
    return {"primary": nodes[1], "backup": nodes[2]}


def at_forward(lab: Lab) -> dict[str, str]:
    hosts = begun(lab)
    lab("learn", "answer", hosts["backup"])
    lab("learn", "answer", "ten", "seconds")
    return hosts


def test_an_exercise_from_its_beginning_to_the_export(lab: Lab) -> None:
    hosts = begun(lab)
    assert "Task 1 of 3: Somebody sent" in lab("learn", "task")
    for answer, told in (
        ("", "not understood"), ("x" * 10_000, "not understood"), ("\x1b[2J", "not understood"),
        ("--seed", "not understood"), ("知らない", "not understood"), (hosts["primary"], "not it"),
    ):  # fmt: skip
        said = lab("learn", "answer", answer, code=1)
        assert told in said
        assert hosts["backup"] not in said
    assert "done" in lab("learn", "answer", "The host", f'"{hosts["backup"].upper()}".')
    assert "no question" not in lab("learn", "answer", "20 s")
    assert "present task is no question" in lab.run("learn", "answer", "5", code=2).output
    assert "0 of 5 delivered" in lab("learn", "check", code=1)
    assert "Hint 1: The host is still down" in lab("learn", "hint")
    assert "not shown" in lab.run("learn", "solution", code=1).output
    assert f"mxlab start {hosts['primary']}" in lab("learn", "solution", "--yes")
    lab("flush", hosts["backup"])
    assert "A flush tries at once" in lab("learn", "check", code=1)
    lab("start", hosts["primary"])
    lab("flush", hosts["backup"])
    assert "where-is-it is done" in lab("learn", "check")
    rows = list(csv.DictReader(io.StringIO(lab("learn", "export", "--csv"))))
    assert [(row["task"], row["result"], row["tries"]) for row in rows] == [
        ("locate", "done", "2"), ("predict", "done", "0"), ("forward", "done", "3")
    ]  # fmt: skip
    assert rows[2]["solution_shown"] == "yes"
    assert json.loads(lab("learn", "export"))[0]["exercise"] == "where-is-it"


def test_a_task_is_skipped_and_the_exercise_begun_anew(lab: Lab) -> None:
    at_forward(lab)
    assert "passed over" in lab("learn", "skip")
    assert "no exercise of a track" in lab("learn", "next").lower()
    assert "Task 1 of 3" in lab("learn", "reset")
    assert "Task 1 of 3" in lab("learn", "task")


def test_a_lab_that_is_down_and_one_that_is_not_the_exercises(lab: Lab) -> None:
    begun(lab)
    lab("down")
    said = lab.run("learn", "check", code=3).output
    assert "is down" in said
    assert "mxlab learn reset" in said
    assert "There is no hint" not in lab("learn", "hint")
    lab("up")
    assert "not the one in which" in lab.run("learn", "answer", "x", code=3).output
    assert "no exercise was begun in it" in lab.run("learn", "reset", code=3).output
    assert "no exercise was begun" in lab.run("learn", "start", str(EXERCISE), code=3).output
    lab("down")
    lab("learn", "reset")
    assert "wants an answer" in lab("learn", "check", code=1)
    assert "is gone" in lab("learn", "stop")
    assert "is not up" in lab.run("learn", "stop", code=3).output


def test_a_wrecked_lab_is_told_as_such(lab: Lab) -> None:
    hosts = at_forward(lab)
    lab("queue", hosts["backup"], "--delete", "ALL")
    said = lab("learn", "check", code=1)
    assert "nowhere any more" in said
    assert "mxlab learn reset" in said
    lab("learn", "reset")
    assert "done" in lab("learn", "answer", hosts["backup"])
    lab("reset")  # by hand: the mail of the exercise is gone with it
    lab("learn", "answer", "5s", code=0)
    assert "the lab was emptied" in lab("learn", "check", code=1)


def test_a_damaged_file_is_told_and_a_newer_one_refused(lab: Lab, tmp_path: Path) -> None:
    begun(lab)
    file = tmp_path / "learn" / "progress.json"
    good = file.read_text()
    file.write_text(good[:100])
    said = lab.run("learn", "check", code=2).output
    assert "progress.json.damaged-1" in said
    assert "no exercise is begun" in said
    file.write_text(good.replace('"version": 1', '"version": 9'))
    assert "newer mxlab" in lab.run("learn", "check", code=2).output
    file.write_text(good)
    newer = tmp_path / "newer.yaml"
    newer.write_text(EXERCISE.read_text().replace("mxlab: 1", "mxlab: 2"))
    assert "version 2 is not known here" in lab.run("learn", "start", str(newer), code=2).output
    assert "Task 1" in lab("learn", "task")


@pytest.mark.parametrize("words", [["start", "nowhere"], ["export", "--csv", "--json"], ["bogus"]])
def test_what_makes_no_sense_is_a_usage_error(lab: Lab, words: list[str]) -> None:
    lab.run("learn", *words, code=2)


def watching(lab: Lab) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*MXLAB, "learn", "watch"], env={**os.environ, **lab.environment}, text=True,
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_watch_sees_the_lab_and_the_other_terminal_and_ends(lab: Lab) -> None:
    hosts = begun(lab)
    with watching(lab) as watch:
        assert watch.stdout is not None
        lines = iter(watch.stdout.readline, "")
        assert [next(lines)[:10] for _ in range(3)] == ["  locate: ", "  predict:", "  forward:"]
        lab("learn", "answer", hosts["backup"])
        assert next(lines).startswith("✓ locate")
        lab("learn", "answer", "5s")
        assert next(lines).startswith("✓ predict")
        lab("start", hosts["primary"])
        lab("flush", hosts["backup"])
        assert next(lines).startswith("✓ forward")
        assert "where-is-it is done" in watch.communicate(timeout=SECONDS)[0]
        assert watch.returncode == 0


def test_watch_ends_by_ctrl_c_and_when_the_lab_is_taken_down(lab: Lab) -> None:
    begun(lab)
    with watching(lab) as watch:
        assert watch.stdout is not None
        watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        assert watch.communicate(timeout=SECONDS)[1] == "mxlab: interrupted\n"
        assert watch.returncode == 130
    with watching(lab) as watch:
        assert watch.stdout is not None
        watch.stdout.readline()
        lab("down")
        assert "was taken down" in watch.communicate(timeout=SECONDS)[1]
        assert watch.returncode == 3
