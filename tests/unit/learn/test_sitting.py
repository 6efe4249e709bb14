"""A student at an exercise in the simulation: what commands come to, on the lab and on record."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mxlab.backends.base import Order
from mxlab.backends.sim.backend import SimBackend, SimLab, simulate
from mxlab.cli.hands import type_command
from mxlab.errors import EnvironmentProblem, UsageError
from mxlab.learn.begin import NotAsMeant
from mxlab.learn.progress import ExerciseRecord, ProgressFile
from mxlab.learn.sitting import Sitting, sitting_at
from mxlab_services.control.requests import ConfigChange, QueueEdit, QueueFlush
from tests.support.learning import PLAIN

SEVEN = ConfigChange({"limits.recipients": 7})

EXERCISE = (
    PLAIN
    + """\
  - {id: guess, predict: {question: q, answer: {mailbox-of: bob@example.test}, after: mend}}
  - {id: where, text: t, answer: {holder-of: batch}, solution: [mxlab queue]}
  - id: kept
    text: Nobody deletes mail.
    never: {did: {host: mx2, act: delete}}
  - id: mend
    text: t
    done: {delivered: batch}
    hints:
      - plain one
      - when: {state: {host: mx1, is: stopped}}
        text: it is down
      - when: {state: {host: mx1, is: running}}
        text: it is up
    solution: [mxlab start mx1, mxlab flush mx2]
  - {id: last, text: t, done: {setting: {host: mx2, key: limits.recipients, is: 7}},
     solution: [mxlab config mx2 limits.recipients=7]}
finish: {expect: [nothing-lost], text: Well done.}
"""
)


def at_exercise(
    where: Path, story: Callable[[Sitting, SimLab], Awaitable[None]], text: str = EXERCISE
) -> ProgressFile:
    """Run `story` at the exercise, begun in a simulated lab."""
    file, store = where / "plain.yaml", ProgressFile(where / "learn", [])
    file.write_text(text)

    async def main() -> None:
        sitting = Sitting(store, "plain", ExerciseRecord(str(file), 0, "lab", "", ""))
        order = Order("lab", "run1", sitting.exercise.topology)
        async with SimBackend().deploy(order, lambda _: None) as lab:
            await sitting.set_up_in(lab)
            await story(sitting, lab)

    simulate(main)
    return store


async def mend(lab: SimLab) -> None:
    await lab.nodes["mx1"].start()
    await lab.nodes["mx2"].request(QueueFlush())


def test_an_exercise_is_done_from_its_first_task_to_its_last_word(tmp_path: Path) -> None:
    async def story(sitting: Sitting, lab: SimLab) -> None:
        came = await sitting.check(lab, "4")
        assert (came.checked.verdict, came.next and came.next.id) == ("recorded", "where")
        assert (await sitting.check(lab, "mx1")).checked.verdict == "wrong"
        came = await sitting.check(lab, "mx2")
        assert came.next is not None
        assert came.next.id == "mend"  # what must never be waits for the end
        await mend(lab)
        came = await sitting.check(lab)
        assert [(one.guess, one.true, one.right) for one in came.guesses] == [("4", "3", False)]
        await lab.nodes["mx2"].request(SEVEN)
        came = await sitting.check(lab)
        assert came.next is None
        assert came.finished

    record = at_exercise(tmp_path, story).read().exercises["plain"]
    assert record.finished
    assert {name: (one.state, one.tries) for name, one in record.tasks.items()} == {
        "guess": ("done", 0), "where": ("done", 2), "mend": ("done", 1), "last": ("done", 1),
        "kept": ("done", 1),
    }  # fmt: skip


def test_what_must_never_be_is_told_at_once_and_only_a_reset_helps(tmp_path: Path) -> None:
    async def story(sitting: Sitting, lab: SimLab) -> None:
        await sitting.skip(lab, type_command)
        node = lab.nodes["mx2"]
        entries = await type_command(lab, "mxlab queue mx2 --json")
        assert '"queue_id"' in entries.output
        await node.request(QueueEdit("delete", ["ALL"]))
        came = await sitting.check(lab, "mx2")
        assert [task.id for task in came.broken] == ["kept"]
        assert came.checked.verdict == "wrecked"
        await sitting.reset(lab)
        assert sitting.present is not None
        assert sitting.present.id == "guess"
        assert (await sitting.check(lab, "3")).broken == ()
        assert (await sitting.check(lab, "mx2")).checked.verdict == "done"

    at_exercise(tmp_path, story)


def test_skip_leads_where_the_solutions_lead_and_a_task_can_be_begun_anew(tmp_path: Path) -> None:
    async def story(sitting: Sitting, lab: SimLab) -> None:
        for name in ("guess", "where", "mend"):
            assert (await sitting.skip(lab, type_command)).id == name
        assert sitting.present is not None
        assert sitting.present.id == "last"
        await lab.nodes["mx1"].kill()
        await sitting.reset(lab, type_command)  # this task only
        assert sitting.present.id == "last"
        assert await lab.nodes["mx1"].state() == "running"
        situation = await sitting.look(lab)
        assert situation.trace.batches["batch"].delivered == 3
        await lab.nodes["mx2"].request(SEVEN)
        assert (await sitting.check(lab)).finished

    record = at_exercise(tmp_path, story).read().exercises["plain"]
    assert [one.state for one in record.tasks.values()].count("skipped") == 3


def test_hints_that_fit_come_first_and_each_once(tmp_path: Path) -> None:
    async def story(sitting: Sitting, lab: SimLab) -> None:
        assert await sitting.hint(lab) == (None, 0)  # of the first task
        for _ in range(2):
            await sitting.skip(lab, type_command)
        told = []
        while (hint := (await sitting.hint(lab))[0]) is not None:
            told.append(hint.text)
        assert told == ["it is down", "plain one"]
        await lab.nodes["mx1"].start()
        found, number = await sitting.hint(lab)
        assert found is not None
        assert (found.text, number) == ("it is up", 3)

    at_exercise(tmp_path, story)


def test_two_terminals_do_not_do_one_task_twice(tmp_path: Path) -> None:
    async def story(sitting: Sitting, lab: SimLab) -> None:
        other = sitting_at(sitting.store)
        assert (await sitting.check(lab, "3")).next is not None
        assert (await other.check(lab, "5")).checked.verdict == "recorded"
        assert sitting_at(sitting.store).record.tasks["guess"].guess == "3"

    at_exercise(tmp_path, story)


def test_a_lab_of_somebody_else_is_not_judged(tmp_path: Path) -> None:
    async def story(sitting: Sitting, lab: SimLab) -> None:
        sitting.record.run = "another"
        with pytest.raises(EnvironmentProblem, match="not the one in which"):
            await sitting.check(lab, "3")

    at_exercise(tmp_path, story)


def test_a_lab_that_has_lost_a_host_is_not_judged(tmp_path: Path) -> None:
    async def story(sitting: Sitting, lab: SimLab) -> None:
        lost = lab._nodes.pop("mx2")
        with pytest.raises(EnvironmentProblem, match="the lab has lost mx2"):
            await sitting.check(lab, "3")
        lab._nodes["mx2"] = lost

    at_exercise(tmp_path, story)


def test_watching_costs_no_try(tmp_path: Path) -> None:
    async def story(sitting: Sitting, lab: SimLab) -> None:
        for _ in range(2):
            await sitting.skip(lab, type_command)
        for _ in range(3):
            assert (await sitting.check(lab, patience=0)).checked.verdict == "not yet"
        assert sitting_at(sitting.store).record.tasks["mend"].tries == 0
        await mend(lab)
        assert (await sitting.check(lab, patience=5)).checked.verdict == "done"

    at_exercise(tmp_path, story)


def test_the_solution_shown_goes_on_record_with_the_answer(tmp_path: Path) -> None:
    async def story(sitting: Sitting, lab: SimLab) -> None:
        await sitting.skip(lab, type_command)
        task, answer = await sitting.solution(lab)
        assert (task.solution, answer) == (("mxlab queue",), "mx2")

    assert at_exercise(tmp_path, story).read().exercises["plain"].tasks["where"].shown


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("within: 60s, queue: {host: mx2", "within: 6s, queue: {host: mx1", "setup of plain"),
        ("[mxlab start mx1, ", "[mxlab start mx2, ", "solution of mend did not do it"),
        ("[mxlab start mx1, ", "[mxlab strt mx1, ", "cannot be typed"),
        ("[mxlab start mx1, ", "[mxlab start mx7, ", "`mxlab start mx7` failed"),
    ],
)
def test_an_authors_mistake_is_told_and_no_traceback(
    tmp_path: Path, right: str, wrong: str, told: str
) -> None:
    async def story(sitting: Sitting, lab: SimLab) -> None:
        for _ in range(3):
            await sitting.skip(lab, type_command)

    with pytest.raises((NotAsMeant, UsageError), match=told):
        at_exercise(tmp_path, story, EXERCISE.replace(right, wrong))


def test_without_an_exercise_it_says_how_to_begin_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no exercise is begun"):
        sitting_at(ProgressFile(tmp_path, []))
