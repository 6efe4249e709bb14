"""docs/tracks.md has every exercise of every track, and names only tasks that there are."""

import re
from pathlib import Path

import pytest

from mxlab.exercise.load import exercise_ids, load_exercise, of_track
from mxlab.model.exercise import Exercise

PAGE = (Path(__file__).parents[3] / "docs" / "tracks.md").read_text()
SHIPPED = {name: load_exercise(name) for name in exercise_ids()}
TRACKS = sorted({one.track for one in SHIPPED.values() if one.track})
SEED_FACTS = (
    "store and forward", "agreed to accept mail if you cannot be reached", "eventually forwarded",
    "the order", "priority code", "the given amount of time", "address book", "final delivery",
)  # fmt: skip


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


FACTS = [
    (fact, exercise, task)
    for fact, cells in re.findall(
        r"^\| \*\*(.+?)\*\*.*? \| (.+) \|$", section("What is where"), re.M
    )
    for exercise, tasks in re.findall(r"`([a-z0-9-]+)`: ((?:`[a-z0-9-]+`(?:, )?)+)", cells)
    for task in re.findall(r"`([a-z0-9-]+)`", tasks)
]


@pytest.mark.parametrize("track", TRACKS)
def test_every_exercise_has_its_row(track: str) -> None:
    rows = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \| (\d+) \|", section(track), re.MULTILINE)
    assert rows == [_row(one) for one in of_track(list(SHIPPED.values()), track)]


def _row(exercise: Exercise) -> tuple[str, str, str, str]:
    lesson = f"../scenarios/{exercise.id}/README.md"
    return str(exercise.part), exercise.title, lesson, str(exercise.minutes)


def test_every_seed_fact_is_a_task() -> None:
    assert [fact for fact in SEED_FACTS if fact not in {told for told, _, _ in FACTS}] == []


@pytest.mark.parametrize(("fact", "exercise", "task"), FACTS)
def test_a_task_that_is_named_is_there(fact: str, exercise: str, task: str) -> None:
    assert SHIPPED[exercise].task(task) is not None, fact
