"""An exercise chosen and begun in a lab of its own, for whoever asks: a command, a page.

Guarantee: it takes the place of a lab in which an exercise was begun, and of no other.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mxlab.backends.base import Backend, Order, Progress
from mxlab.backends.registry import LASTING, backend_named, find_labs, first_here, known
from mxlab.errors import AlreadyUp, Unsupported, UsageError
from mxlab.exercise.load import exercise_ids, find_exercise, load_exercise_file
from mxlab.faults import refuse_unsupported
from mxlab.learn.progress import ExerciseRecord, ProgressFile
from mxlab.learn.sitting import Sitting
from mxlab.model.exercise import Exercise
from mxlab.model.scenario import fault_kinds
from mxlab.operate.hands import Hands
from mxlab_services.config import TimeConfig

SEATS = 10_000
Tell = Callable[[str], None]  # a sentence that somebody should read


def every_exercise(folder: Path | None, tell: Tell) -> Iterator[Exercise]:
    """All that ship with mxlab and those in `folder`, for seat 0; of what cannot be read is told
    why. Each takes a moment to read."""
    for name in exercise_ids(folder):
        try:
            yield load_exercise_file(find_exercise(name, folder))
        except UsageError as error:
            tell(str(error))


def next_of_track(exercise: Exercise, among: Iterable[Exercise]) -> Exercise | None:
    """The one that comes after it in its track."""
    here = (exercise.part, exercise.id)
    later = [
        one for one in among
        if exercise.track and one.track == exercise.track and (one.part, one.id) > here
    ]  # fmt: skip
    return min(later, key=lambda one: (one.part, one.id), default=None)


def sit_down(
    store: ProgressFile, name: str, seed: int | None, lab: str, folder: Path | None
) -> Sitting:
    """A student at that exercise, in the seat that is asked for, or that they had, or in any.
    Raises UnknownName, ScenarioError."""
    file = find_exercise(name, folder)
    exercise = load_exercise_file(file, seed or 0)
    old = store.read().exercises.get(exercise.id)
    chosen = seed if seed is not None else old.seed if old else secrets.randbelow(SEATS)
    where = str(file.resolve()) if Path(name).suffix or os.sep in name else name
    own = None if folder is None else str(folder.resolve())
    record = ExerciseRecord(where, chosen, lab, "", "", own)
    if old is not None and old.seed == chosen:
        record.tasks, record.times_begun = old.tasks, old.times_begun
    return Sitting(store, exercise.id, record)


async def begin(
    sitting: Sitting, backend: str, progress: Progress, tell: Tell, hands: Hands | None = None
) -> None:
    """Bring its lab up, by that backend or for `auto` the first that can tell it, and set the
    exercise up; with `hands`, up to the present task. Raises AlreadyUp where the lab's name is
    taken, Unsupported, LabError."""
    exercise, record = sitting.exercise, sitting.record
    world = await _world(exercise, backend, progress, tell)
    await make_room(record.lab, sitting.store)
    refuse_unsupported(world, fault_kinds(exercise.story()))
    scale = TimeConfig(exercise.time_scale, time.time())  # noqa: TID251 - when lab time begins
    order = Order(record.lab, secrets.token_hex(4), exercise.topology, scale, exercise.seed)
    async with world.deploy(order, progress, keep=True) as running:
        progress("setting the exercise up")
        if hands is None:
            await sitting.set_up_in(running)
        else:
            await sitting.go_on_in(running, hands)


async def _world(exercise: Exercise, name: str, progress: Progress, tell: Tell) -> Backend:
    able = [one for one in LASTING if not exercise.backends or one in exercise.backends]
    if not able or (name != "auto" and name not in able and name in LASTING):
        where = " or ".join(exercise.backends)
        raise Unsupported(f"{exercise.id} is not for {name}", f"it is for {where}")
    names = able if name == "auto" else [known(name, ("auto", *LASTING)).name]
    backend, reason = await first_here(names, progress)
    if reason:
        tell(f"{known(backend.name).meaning}, because {reason}")
    return backend


async def make_room(lab: str, store: ProgressFile) -> None:
    """Take down a lab of that name in which an exercise was begun. Raises AlreadyUp for another."""
    labs, _ = await find_labs()
    own = {record.run for record in store.read().exercises.values()}
    for found in labs:
        if found.lab != lab:
            continue
        if found.run not in own:
            raise AlreadyUp(
                f"a lab called {lab!r} is up, and no exercise was begun in it",
                f"`mxlab down {lab}` removes it; or use another name with --lab",
            )
        await backend_named(found.backend).remove(lab)
