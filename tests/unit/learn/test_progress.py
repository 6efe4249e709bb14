"""What a student has done survives what ends a command, two terminals, and damage."""

import csv
import io
import multiprocessing
from pathlib import Path

import msgspec
import pytest

from mxlab.errors import EnvironmentProblem, UsageError
from mxlab.learn.check import Checked
from mxlab.learn.export import as_csv, rows
from mxlab.learn.progress import (
    FILE,
    ExerciseRecord,
    Progress,
    ProgressFile,
    TaskRecord,
    folder,
)
from tests.support.learning import plain

EXERCISE = plain(
    "{id: where, text: t, answer: {holder-of: batch}}",
    "{id: kept, text: t, never: {mailbox: {address: carol@example.test, at-least: 1}}}",
    "{id: mend, text: t, done: {delivered: batch}}",
)
WHERE, KEPT, MEND = EXERCISE.tasks


def record() -> ExerciseRecord:
    return ExerciseRecord("plain", 1, "lab", "process", "r1")


def store(where: Path, told: list[str] | None = None) -> ProgressFile:
    return ProgressFile(where, [] if told is None else told)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    with store(tmp_path / "new" / "folder").changing() as progress:
        progress.exercises["plain"] = record()
        progress.current = "plain"
    read = store(tmp_path / "new" / "folder").read()
    assert (read.current, read.exercises["plain"]) == ("plain", record())


def test_what_fails_in_between_changes_nothing(tmp_path: Path) -> None:
    with store(tmp_path).changing() as progress:
        progress.current = "one"

    def spoil() -> None:
        with store(tmp_path).changing() as progress:
            progress.current = "two"
            raise KeyError

    with pytest.raises(KeyError):
        spoil()
    assert store(tmp_path).read().current == "one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["progress.json", "progress.lock"]


def try_often(where: Path, task: str) -> None:
    for _ in range(25):
        with store(where).changing() as progress:
            one = progress.exercises.setdefault("plain", record())
            one.tasks.setdefault(task, TaskRecord()).tries += 1


def test_two_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=try_often, args=(tmp_path, name)) for name in ("a", "b")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    tasks = store(tmp_path).read().exercises["plain"].tasks
    assert {name: one.tries for name, one in tasks.items()} == {"a": 25, "b": 25}


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[]", b'{"version": 1, "current": 7}'])
def test_a_damaged_file_is_kept_aside_and_told(tmp_path: Path, text: bytes) -> None:
    for number in (1, 2):
        (tmp_path / FILE).write_bytes(text)
        told: list[str] = []
        assert store(tmp_path, told).read() == Progress()
        assert (tmp_path / f"{FILE}.damaged-{number}").read_bytes() == text
        assert f"{FILE}.damaged-{number}" in told[0]


def test_a_file_of_a_newer_mxlab_is_refused_and_left(tmp_path: Path) -> None:
    text = b'{"version": 2, "unheard": "of"}'
    (tmp_path / FILE).write_bytes(text)
    with pytest.raises(UsageError, match="newer mxlab"):
        store(tmp_path).read()
    assert (tmp_path / FILE).read_bytes() == text


def test_a_folder_that_cannot_be_used_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem) as caught:
        store(tmp_path / "file" / "folder").read()
    assert "MXLAB_LEARN" in caught.value.hint


def test_the_folder_is_the_users_own_or_what_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MXLAB_LEARN", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert folder() == tmp_path / "mxlab" / "learn"
    monkeypatch.setenv("MXLAB_LEARN", str(tmp_path / "own"))
    assert folder() == tmp_path / "own"
    monkeypatch.setenv("MXLAB_LEARN", " ")
    with pytest.raises(UsageError, match="empty"):
        folder()


def test_what_must_never_be_is_judged_last_and_a_reset_keeps_what_was_tried() -> None:
    one = record()
    assert one.present(EXERCISE) == WHERE
    one.note(WHERE, Checked("not yet"), None, 1.0)  # no answer is no try
    one.note(WHERE, Checked("not understood"), "?", 1.0)
    one.note(WHERE, Checked("wrong"), "mx1", 1.0)
    one.note(WHERE, Checked("done"), "mx2", 2.0)
    assert one.present(EXERCISE) == MEND
    one.note(MEND, Checked("unknown"), None, 3.0)
    one.skip(MEND, 4.0)
    assert one.present(EXERCISE) == KEPT
    one.note(KEPT, Checked("done"), None, 5.0)
    assert one.present(EXERCISE) is None
    one.again(0, EXERCISE, 6.0)
    assert one.present(EXERCISE) == WHERE
    assert {name: (task.tries, task.state) for name, task in one.tasks.items()} == {
        "where": (2, "open"),
        "mend": (0, "open"),
        "kept": (1, "open"),
    }


def test_a_row_of_the_export_is_a_task() -> None:
    one = record()
    one.tasks = {"a": TaskRecord("done", 2, ["h"], False, "=1+1", 10.0, 12.5), "b": TaskRecord()}
    found = rows(Progress(exercises={"plain": one}))
    assert msgspec.to_builtins(found[0]) == {
        "exercise": "plain", "seed": 1, "task": "a", "result": "done", "tries": 2, "hints": 1,
        "solution_shown": False, "seconds": 2.5, "ended": 12.5, "guess": "=1+1",
    }  # fmt: skip
    table = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert (table[0]["guess"], table[0]["seconds"]) == ("'=1+1", "2.5")
    assert (table[1]["result"], table[1]["ended"]) == ("open", "")
