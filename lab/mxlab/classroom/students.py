"""A simulated student: works through exercises over the page's API, through the class server.

They look and wait, answer wrongly at times, check before anything is done, take hints; the work
itself is done as the page's own skip does it: the solution's commands are typed in the seat.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from mxlab.errors import EnvironmentProblem, LabError
from mxlab.learn.progress import OVER

KINDS = {
    "start": "begin an exercise", "check": "check a task", "hint": "take a hint",
    "skip": "have the work done", "look": "look at the page", "solution": "see the solution",
}  # fmt: skip
GUESS = "nobody"


@dataclass(frozen=True, slots=True)
class StudentRequest:
    """One request: which seat, of which kind, about which task; when it began and how long it took,
    in real seconds; its status (0: no reply)."""

    seat: int
    kind: str
    task: str
    at: float
    took: float
    status: int


@dataclass
class RehearsalTally:
    """What all students asked. `now`, `most`: on its way at once, and at the fullest moment."""

    asked: list[StudentRequest] = field(default_factory=list)
    now: int = 0
    most: int = 0
    fullest: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    done: int = 0


class Student:
    """One at a seat. `pace`: mean real seconds that they think before each act."""

    def __init__(
        self,
        seat: int,
        client: httpx.AsyncClient,
        tally: RehearsalTally,
        random: Random,
        pace: float,
    ) -> None:
        self.seat, self._client, self._tally = seat, client, tally
        self._random = random
        self._pace = pace * random.choice((0.5, 1.0, 1.0, 2.0))

    async def work(self, exercises: list[str], seed: int, tell: Callable[[int, str], None]) -> None:
        """Through these exercises. Raises EnvironmentProblem where a seat is of no use."""
        for exercise in exercises:
            await self._think()
            at = await self._ask("start", exercise, f"/exercises/{exercise}/start", {"seed": seed})
            tasks = (at.get("exercise") or {}).get("tasks") or []
            for task in tasks:
                if task["state"] not in OVER:
                    await self._do(task)
            tell(self.seat, exercise)
            self._tally.done += 1

    async def _do(self, task: Any) -> None:
        """One task: a wrong way first, at times; a hint, at times; then what is right."""
        name, asks = str(task["id"]), task["kind"] in ("answer", "predict")
        await self._think()
        await self._look(name)
        if await self._is_over(name):
            return
        if self._random.random() < 0.5:
            await self._check(name, GUESS if asks else None)
            if await self._is_over(name):
                return
        if self._random.random() < 0.4:
            await self._think()
            await self._ask("hint", name, "/exercise/hint", {})
        await self._think()
        if asks:
            said = await self._ask("solution", name, "/exercise/solution", {})
            await self._check(name, str(said.get("answer") or GUESS))
        if not await self._is_over(name):
            await self._ask("skip", name, "/exercise/skip", {})

    async def _is_over(self, task: str) -> bool:
        at = await self._look(task)
        tasks = (at.get("exercise") or {}).get("tasks") or []
        return any(one["id"] == task and one["state"] in OVER for one in tasks)

    async def _look(self, task: str) -> Any:
        return await self._ask("look", task, "/exercise", None)

    async def _check(self, task: str, answer: str | None) -> None:
        body = {} if answer is None else {"answer": answer}
        came = await self._ask("check", task, "/exercise/check", body)
        self._tally.verdicts[str(came.get("verdict", ""))] += 1

    async def _ask(self, kind: str, task: str, path: str, body: Any) -> Any:
        """The reply's JSON, {} of one that refuses; noted, with how long it took."""
        loop, tally = asyncio.get_running_loop(), self._tally
        at, status = loop.time(), 0
        said: Any = {}
        tally.now += 1
        if tally.now > tally.most:
            tally.most, tally.fullest = tally.now, at
        try:
            method = "GET" if body is None else "POST"
            url = f"/seat/{self.seat}/api/v1{path}"
            reply = await self._client.request(method, url, json=body)
            status = reply.status_code
            said = reply.json() if status == 200 else {}
        except (httpx.HTTPError, ValueError):
            status = 0
        finally:
            tally.now -= 1
            tally.asked.append(StudentRequest(self.seat, kind, task, at, loop.time() - at, status))
        if kind == "start" and status != 200:
            raise EnvironmentProblem(
                f"seat {self.seat} cannot begin {task} (status {status})", "is the class up?"
            )
        return said if isinstance(said, dict) else {}

    async def _think(self) -> None:
        if self._pace:
            await asyncio.sleep(self._random.expovariate(1 / self._pace))


async def all_at_once(
    students: list[Student], exercises: list[str], seed: int, tell: Callable[[int, str], None]
) -> list[str]:
    """All work; why those who gave up did."""
    works = (student.work(exercises, seed + student.seat, tell) for student in students)
    ends = await asyncio.gather(*works, return_exceptions=True)
    gave_up = []
    for end in ends:
        if isinstance(end, LabError):
            gave_up.append(str(end))
        elif end is not None:
            raise end
    return gave_up
