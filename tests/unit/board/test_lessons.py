"""The exercise over the API: the same sitting and the same record as those of `mxlab learn`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mxlab.board.desk import Desk
from mxlab.cli.hands import type_command
from mxlab.learn.progress import ExerciseRecord, ProgressFile
from mxlab.learn.sitting import Sitting, sitting_at
from tests.support.boards import Asking, on_board
from tests.support.learning import PLAIN

EXERCISE = (
    PLAIN
    + """\
  - {id: where, text: t, answer: {holder-of: batch}, hints: [first, second]}
  - {id: guess, predict: {question: q, answer: {mailbox-of: bob@example.test}, after: mend}}
  - {id: mend, text: t, done: {delivered: batch}, solution: [mxlab start mx1, mxlab flush mx2]}
finish: {expect: [nothing-lost], text: Well done.}
"""
)
Story = Callable[[Asking], Awaitable[None]]


@pytest.fixture
def at_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Story], None]:
    """Runs a story at a board over a lab in which the exercise was begun."""
    folder = tmp_path / "own" / "plain"
    folder.mkdir(parents=True)
    (folder / "exercise.yaml").write_text(EXERCISE)
    (folder / "README.md").write_text("# A lesson\x1b[2J\n")
    monkeypatch.setenv("MXLAB_LEARN", str(tmp_path / "learn"))
    desk = Desk(type_command, folder.parent)

    def run(story: Story) -> None:
        async def begun(api: Asking) -> None:
            record = ExerciseRecord(str(folder / "exercise.yaml"), 0, "lab", "", "")
            await Sitting(desk.store(), "plain", record).set_up_in(api.lab)
            await story(api)

        on_board(begun, desk)

    return run


def tasks(at: Any) -> dict[str, str]:
    return {task["id"]: task["state"] for task in at["exercise"]["tasks"]}


async def check(api: Asking, answer: str | None = None) -> Any:
    body = {} if answer is None else {"answer": answer}
    return await api.send("POST", "/exercise/check", body)


def test_an_exercise_from_its_first_answer_to_its_last_word(
    at_desk: Callable[[Story], None], tmp_path: Path
) -> None:
    async def story(api: Asking) -> None:
        at = await api.get("/exercise")
        shown = at["exercise"]
        assert (shown["title"], shown["here"], shown["lesson"]) == (
            "Plain", True, "# A lesson\\x1b[2J\n",
        )  # fmt: skip
        assert shown["tasks"][0]["choices"] == ["client", "dns", "mx1", "mx2"]
        assert (await check(api, "mx1"))["verdict"] == "wrong"
        assert (await check(api, "\x1b[2J"))["verdict"] == "not understood"
        assert await api.send("POST", "/exercise/hint") == {"hint": "first", "given": 1}
        came = await check(api, "the host MX2.")
        assert (came["verdict"], tasks(came["at"])["where"]) == ("done", "done")
        assert came["at"]["exercise"]["tasks"][0]["tries"] == 2
        assert (await check(api, "3"))["verdict"] == "recorded"
        assert tasks(await api.send("POST", "/exercise/look"))["mend"] == "open"
        assert (await check(api))["observed"] == ["0 of 3 delivered"]
        solution = await api.send("POST", "/exercise/solution")
        for line in solution["commands"]:
            await type_command(api.lab, line)
        await api.send("POST", "/wait", {"condition": {"delivered": "batch"}, "within": 60})
        at = await api.send("POST", "/exercise/look")
        assert (at["exercise"]["finished"], at["exercise"]["finish"]) == (True, "Well done.")
        rows = {row["task"]: row for row in await api.get("/progress")}
        assert (rows["mend"]["tries"], rows["mend"]["solution_shown"]) == (2, True)
        assert sitting_at(ProgressFile(tmp_path / "learn", [])).record.finished

    at_desk(story)


def test_a_task_is_passed_over_and_the_exercise_begun_anew(
    at_desk: Callable[[Story], None],
) -> None:
    async def story(api: Asking) -> None:
        for _ in range(2):
            await api.send("POST", "/exercise/skip")
        at = await api.send("POST", "/exercise/skip")
        assert (tasks(at)["mend"], at["exercise"]["finished"]) == ("skipped", True)
        at = await api.send("POST", "/exercise/reset", {"task": False})
        assert set(tasks(at).values()) == {"open"}
        assert (await check(api, "mx2"))["verdict"] == "done"

    at_desk(story)


def test_two_things_are_not_done_to_the_lab_at_once(at_desk: Callable[[Story], None]) -> None:
    async def story(api: Asking) -> None:
        reset = asyncio.create_task(api.send("POST", "/exercise/reset"))
        while not (at := await api.get("/exercise"))["doing"]:
            assert not reset.done()
            await asyncio.sleep(0)
        assert at["doing"] == "beginning anew"
        for path in ("check", "skip", "reset"):
            status, told = await api.status("POST", f"/exercise/{path}", {})
            assert (status, told) == (409, "just now: beginning anew")
        await reset
        assert (await api.get("/exercise"))["doing"] == ""

    at_desk(story)


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/exercises/nonsense/start", {}, 404, "no exercise is called 'nonsense'"),
        ("/exercises/..%2Fplain.yaml/start", {}, 404, "there is nothing here"),
        ("/exercises/plain/start", {"seed": -1}, 400, "Expected `int` >= 0"),
        ("/exercises/plain/start", {"seed": "x"}, 400, "Expected `int | null`"),
        ("/exercise/check", {"answer": 5}, 400, "Expected `str | null`"),
        ("/exercise/check", {"answer": "x" * 10_001}, 400, "length <= 10000"),
        ("/exercise/reset", {"task": "no"}, 400, "Expected `bool`"),
        ("/exercise/reset", {"other": 1}, 400, "unknown field `other`"),
    ],
)
def test_a_bad_request_says_what_is_wrong(
    path: str, body: Any, status: int, told: str, at_desk: Callable[[Story], None]
) -> None:
    async def story(api: Asking) -> None:
        found, text = await api.status("POST", path, body)
        assert found == status
        assert told in text

    at_desk(story)


def test_where_none_is_begun_or_it_is_elsewhere_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MXLAB_LEARN", str(tmp_path / "learn"))

    async def story(api: Asking) -> None:
        assert (await api.get("/exercise"))["exercise"] is None
        assert await api.status("POST", "/exercise/check", {}) == (400, "no exercise is begun")
        assert await api.status("POST", "/exercise/check", {"answer": "x"}) == (
            400, "no exercise is begun",
        )  # fmt: skip
        record = ExerciseRecord("in-which-order", 0, "other", "", "run")
        with ProgressFile(tmp_path / "learn", []).changing() as progress:
            progress.current, progress.exercises["in-which-order"] = "in-which-order", record
        assert (await api.get("/exercise"))["exercise"]["here"] is False
        status, told = await api.status("POST", "/exercise/check", {})
        assert (status, told) == (
            503, "in-which-order was begun in the lab 'other', not in 'lab'",
        )  # fmt: skip

    on_board(story, Desk(type_command))


def test_a_board_without_a_desk_says_so() -> None:
    async def story(api: Asking) -> None:
        assert (await api.status("GET", "/exercise"))[0] == 409

    on_board(story)


def test_an_exercise_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MXLAB_LEARN", str(tmp_path / "learn"))
    (tmp_path / "own" / "bad").mkdir(parents=True)
    (tmp_path / "own" / "bad" / "exercise.yaml").write_text("exercise: [")

    async def story(api: Asking) -> None:
        for _ in range(2):
            await api.get("/exercises")
        (remark,) = (await api.get("/exercise"))["remarks"]
        assert "not YAML" in remark

    on_board(story, Desk(type_command, tmp_path / "own"))
