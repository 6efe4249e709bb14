"""The exercise of whoever sits at a board: their progress file, and what is being done for them.

Guarantee: one thing is done to the lab at a time; who asks meanwhile is told what is going on.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

from mxlab.errors import NotUp, Refused
from mxlab.exercise.load import exercise_ids
from mxlab.learn.progress import ProgressFile, folder
from mxlab.learn.sitting import Sitting, sitting_at
from mxlab.learn.starting import every_exercise, next_of_track
from mxlab.model.exercise import Exercise
from mxlab.operate.hands import Hands

KEPT = 20  # remarks


class Desk:
    """`hands` types commands for them; `exercises`: a folder of their own; `backend`: in which an
    exercise is begun, or `auto`. `remarks`: what they should know, the newest last."""

    def __init__(self, hands: Hands, exercises: Path | None = None, backend: str = "auto") -> None:
        self.hands, self.exercises, self.backend = hands, exercises, backend
        self.remarks: list[str] = []
        self.doing = ""
        self._follows: dict[str, str] = {}

    def store(self) -> ProgressFile:
        """The same file as that of `mxlab learn`."""
        return ProgressFile(folder(), self.remarks)

    def sitting(self) -> Sitting | None:
        """The exercise that they are at, as it is on record now; None where none was begun.
        Raises UsageError for one that cannot be read."""
        store = self.store()
        progress = store.read()
        if progress.current not in progress.exercises:
            return None
        return sitting_at(store)

    def tell(self, text: str) -> None:
        """A sentence that they should read."""
        self.remarks.append(text)
        del self.remarks[:-KEPT]

    @contextlib.contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Something is done to the lab. Raises Refused while something else is."""
        if self.doing:
            raise Refused(f"just now: {self.doing}", "wait for its end")
        self.doing = doing
        try:
            yield
        finally:
            self.doing = ""

    def progress(self, text: str) -> None:
        """What is done now, within `busy`."""
        self.doing = text

    async def every(self) -> list[Exercise]:
        """All exercises. To read them takes a second; others have their turn meanwhile."""
        found = []
        for exercise in every_exercise(self.exercises, self._untold):
            found.append(exercise)
            await asyncio.sleep(0)
        return found

    async def follows(self, exercise: Exercise) -> str:
        """The id of the one that comes after it in its track, or nothing."""
        if exercise.id not in self._follows:
            later = next_of_track(exercise, await self.every())
            self._follows[exercise.id] = later.id if later else ""
        return self._follows[exercise.id]

    def knows(self, name: str) -> bool:
        """Whether an exercise has that id: a page is given no paths."""
        return name in exercise_ids(self.exercises)

    def _untold(self, text: str) -> None:
        if text not in self.remarks:
            self.tell(text)


def own_lab(sitting: Sitting, board_lab: str) -> None:
    """Raises NotUp where the exercise is in another lab than the one that is served."""
    if sitting.record.lab != board_lab:
        raise NotUp(
            f"{sitting.name} was begun in the lab {sitting.record.lab!r}, not in {board_lab!r}",
            f"`mxlab board --lab {sitting.record.lab}` serves that one; or begin it here",
        )
