"""A lab at one moment of an exercise, read once: what everything about a task is judged by.

Events are read as of now, or since the lab was last emptied; `refresh` reads them again. What an
operator did is told from what there was when the task began by a `Mark`, which survives a restart
of the command.
"""

from collections.abc import Iterator

import msgspec

from mxlab.backends.base import Lab
from mxlab.faults.open import open_faults
from mxlab.history.trace import Trace
from mxlab.model.exercise import Exercise
from mxlab.model.scenario import walk
from mxlab.model.step import Fault, Send
from mxlab.runner.now import name_batches, read_trace
from mxlab_services import events
from mxlab_services.events import Event
from mxlab_services.faults.base import Mechanism

REST = 1.0  # lab seconds without an event after which nothing is on its way
# What an operator or a program under their hands did; the rest a lab does by itself.
ACTS = (
    events.Flushed, events.Edited, events.ConfigChanged, events.NodeReady, events.NodeStopping,
    events.DnsZone, events.EtrnSent, events.HandedIn,
)  # fmt: skip


class Mark(msgspec.Struct, frozen=True):
    """What there was when a task began: at lab time `at` so many events of each node, since the
    lab was emptied; how its nodes were, and what was broken."""

    at: float = 0.0
    events: dict[str, int] = {}
    broken: dict[str, str] = {}  # name -> kind, as `open_faults` has them


class Situation:
    """A lab and its trace. `begun`: when the exercise had been set up; `since`: when the task
    began; both have nothing in them where all that happened counts."""

    def __init__(
        self, lab: Lab, exercise: Exercise, trace: Trace, begun: Mark, since: Mark
    ) -> None:
        self.lab, self.exercise, self.trace = lab, exercise, trace
        self.begun, self.since = begun, since

    @property
    def faults(self) -> dict[str, Mechanism]:
        """What the exercise breaks in its setup, by id."""
        steps = walk(self.exercise.setup)
        return {step.id: step.mechanism for _, step in steps if isinstance(step, Fault)}

    @property
    def sent(self) -> list[str]:
        """The batches that its setup sends."""
        return [step.id for _, step in walk(self.exercise.setup) if isinstance(step, Send)]

    async def refresh(self) -> None:
        """Read all that has been told since. Raises LabError."""
        self.trace = await whole_trace(self.lab)

    async def mark(self) -> Mark:
        """All that there is now, by which what comes later can be told from it."""
        broken = {one.name: one.kind for one in await open_faults(self.lab)}
        counts = {node: len(stream) for node, stream in self.trace.by_node.items()}
        return Mark(self.lab.clock.time(), counts, broken)

    def later(self, mark: Mark) -> Iterator[Event]:
        """The events after that mark, node by node."""
        for node, stream in self.trace.by_node.items():
            known = mark.events.get(node, 0)
            # Fewer than there were: the lab has been emptied since, and all of it is new.
            for event in stream[known if known <= len(stream) else 0 :]:
                if event.at >= mark.at:
                    yield event

    async def acted(self) -> bool:
        """Whether an operator has done anything since the task began. Raises LabError."""
        clients = self.lab.topology.sender_domains
        for event in self.later(self.since):
            if isinstance(event.body, ACTS) or (event.node in clients and _sent(event.body)):
                return True
        return (await self.mark()).broken != self.since.broken

    async def resting_at(self) -> float:
        """The lab time at which nothing is on its way any more, if nothing else happens; infinite
        while an attempt is made."""
        if await self.at_work():
            return float("inf")
        told = (e for stream in self.trace.by_node.values() for e in stream)
        # Somebody may only be looking: what is asked of the DNS tells nothing.
        return (
            max((e.at for e in told if not isinstance(e.body, events.DnsQuery)), default=0) + REST
        )

    async def at_work(self) -> bool:
        """Whether a host that runs is making an attempt."""
        running = set[tuple[str, str]]()
        for node, stream in self.trace.by_node.items():
            for event in stream:
                _follow_attempt(event.body, node, running)
        states = [await self.lab.nodes[node].state() for node in {node for node, _ in running}]
        return "running" in states


def _sent(body: events.Body) -> bool:
    """Whether a client was given a message; a report of its own is none."""
    return isinstance(body, events.Accepted) and body.protocol == "local" and bool(body.sender)


def _follow_attempt(body: events.Body, node: str, running: set[tuple[str, str]]) -> None:
    """Keep in `running` the messages at which an attempt is made."""
    match body:
        case events.AttemptStarted(queue_id=queue_id):
            running.add((node, queue_id))
        case events.Deferred(queue_id=queue_id) | events.Removed(queue_id=queue_id):
            running.discard((node, queue_id))
        case events.NodeReady():
            running.difference_update({one for one in running if one[0] == node})
        case _:
            pass


async def whole_trace(lab: Lab) -> Trace:
    """All that the nodes told, counted by batch. Raises LabError."""
    trace = await read_trace(lab)
    name_batches(trace, lab.topology)
    return trace


async def situation_of(
    lab: Lab, exercise: Exercise, begun: Mark | None = None, since: Mark | None = None
) -> Situation:
    """The lab as it is now. Raises LabError."""
    return Situation(lab, exercise, await whole_trace(lab), begun or Mark(), since or Mark())
