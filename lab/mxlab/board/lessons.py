"""Operations on the exercise that a student does on this lab: the same as those of `mxlab learn`,
on the same record, so that page and terminal can be mixed."""

from mxlab.board.board import Board
from mxlab.board.desk import own_lab
from mxlab.board.endpoint import Nothing, OperationGroup
from mxlab.board.lesson_views import (
    AtView,
    CameView,
    HintView,
    SolutionView,
    TrackView,
    came_view,
    ended_view,
    exercise_view,
    track_views,
)
from mxlab.board.wishes import CheckWish, ResetWish, StartWish
from mxlab.errors import LabError, UnknownName, UsageError
from mxlab.exercise.load import exercise_ids
from mxlab.learn.export import TaskRow, rows
from mxlab.learn.progress import asks
from mxlab.learn.sitting import Sitting
from mxlab.learn.starting import begin, sit_down
from mxlab.model.exercise import DoneTask

EXERCISES = OperationGroup("exercise", "The exercise that is done on this lab.")
COMING = 10.0  # real seconds that a lab which was brought up may take to be seen


@EXERCISES.operation("GET", "/exercises", Nothing, list[TrackView])
async def show_exercises(board: Board, asked: Nothing) -> list[TrackView]:
    """All exercises by track, and how far each is done."""
    return track_views(await board.desk.every(), board.desk.store().read())


@EXERCISES.operation("POST", "/exercises/{id}/start", StartWish, AtView)
async def start_exercise(board: Board, asked: StartWish) -> AtView:
    """Begin an exercise: its lab is brought up and set up, in the place of an earlier exercise's,
    and of no other; returns when that is done."""
    desk = board.desk
    if not desk.knows(asked.id):
        raise UnknownName("exercise", asked.id, exercise_ids(desk.exercises))
    with desk.busy("bringing the lab up"):
        sitting = sit_down(desk.store(), asked.id, asked.seed, board.name, desk.exercises)
        await _begin(board, sitting, desk.backend)
    return await _at(board)


@EXERCISES.operation("GET", "/exercise", Nothing, AtView)
async def show_exercise(board: Board, asked: Nothing) -> AtView:
    """The exercise that the student is at: its tasks, and how they stand."""
    return await _at(board)


@EXERCISES.operation("POST", "/exercise/look", Nothing, AtView)
async def look_at_task(board: Board, asked: Nothing) -> AtView:
    """Look whether the present task is done by now, where the lab alone decides; what is not done
    costs no try."""
    sitting = board.desk.sitting()
    if sitting is not None and _can_look(board, sitting):
        await sitting.check(board.lab, patience=0)
    return await _at(board)


@EXERCISES.operation("POST", "/exercise/check", CheckWish, CameView)
async def check_task(board: Board, asked: CheckWish) -> CameView:
    """Check the present task, with an answer where it is a question; with all tasks done, the
    whole."""
    sitting, desk = _sitting(board), board.desk
    if asked.answer is not None and not asks(sitting.must_be_at()):
        raise UsageError("the present task is no question", "check it without an answer")
    with desk.busy("checking"):
        if sitting.present is None:
            await sitting.look(board.lab)
            findings, came = await sitting.judge_all(board.lab), None
        else:
            findings, came = (), await sitting.check(board.lab, asked.answer)
    at = await _at(board)
    return ended_view(findings, at) if came is None else came_view(came, at)


@EXERCISES.operation("POST", "/exercise/hint", Nothing, HintView)
async def give_hint(board: Board, asked: Nothing) -> HintView:
    """The next hint for the present task: first what fits the lab as it is now."""
    sitting = _sitting(board)
    hint, given = await sitting.hint(board.lab if board.is_up else None)
    return HintView(None if hint is None else hint.text.strip(), given)


@EXERCISES.operation("POST", "/exercise/solution", Nothing, SolutionView)
async def show_solution(board: Board, asked: Nothing) -> SolutionView:
    """How the present task is done. That it was shown goes on record."""
    sitting = _sitting(board)
    task, answer = await sitting.solution(board.lab if board.is_up else None)
    return SolutionView(task.id, list(task.solution), answer)


@EXERCISES.operation("POST", "/exercise/skip", Nothing, AtView)
async def skip_task(board: Board, asked: Nothing) -> AtView:
    """Pass the present task over: the lab is brought to where its solution leads."""
    sitting = _sitting(board)
    with board.desk.busy("doing it for you"):
        await sitting.skip(board.lab, board.desk.hands)
        if sitting.present is None:
            await sitting.judge_all(board.lab)
    return await _at(board)


@EXERCISES.operation("POST", "/exercise/reset", ResetWish, AtView)
async def reset_exercise(board: Board, asked: ResetWish) -> AtView:
    """Begin the exercise anew, or its present task only, in a lab as it was at first; one that is
    down or wrecked is brought up again."""
    sitting, desk = _sitting(board), board.desk
    with desk.busy("beginning anew"):
        try:
            await sitting.look(board.lab)
            await sitting.reset(board.lab, desk.hands if asked.task else None)
        except LabError as error:
            desk.tell(f"a new lab is brought up, because {error}")
            await _begin(board, sitting, sitting.record.backend or desk.backend)
    return await _at(board)


@EXERCISES.operation("GET", "/progress", Nothing, list[TaskRow])
async def export_progress(board: Board, asked: Nothing) -> list[TaskRow]:
    """What the student did: a row for each task that was begun, as `mxlab learn export` has it."""
    return rows(board.desk.store().read())


async def _begin(board: Board, sitting: Sitting, backend: str) -> None:
    desk = board.desk
    async with board.aside():
        await begin(sitting, backend, desk.progress, desk.tell)
    await board.until_up(COMING)


def _sitting(board: Board) -> Sitting:
    """Raises UsageError where no exercise is begun, NotUp where it is in another lab."""
    sitting = board.desk.sitting()
    if sitting is None:
        raise UsageError("no exercise is begun", "begin one: GET /exercises lists them")
    own_lab(sitting, board.name)
    return sitting


def _can_look(board: Board, sitting: Sitting) -> bool:
    task = sitting.present
    return (
        _here(board, sitting)
        and not board.desk.doing
        and task is not None
        and isinstance(task.judged, DoneTask)
    )


def _here(board: Board, sitting: Sitting) -> bool:
    return board.is_up and board.name == sitting.record.lab and board.lab.run == sitting.record.run


async def _at(board: Board) -> AtView:
    desk = board.desk
    sitting = desk.sitting()
    view = None
    if sitting is not None:
        follows = "" if sitting.present else await desk.follows(sitting.exercise)
        view = exercise_view(sitting, here=_here(board, sitting), follows=follows)
    return AtView(view, desk.doing, list(desk.remarks))
