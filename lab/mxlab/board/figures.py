"""Running figures of a lab: queue depths, attempts, deliveries, replies by code, over lab time.

Bounded: where there would be too many steps of time, two become one.
"""

import re
from collections import Counter, defaultdict

import msgspec

from mxlab_services import events
from mxlab_services.events import Event

STEPS = 600  # of time, at most
FINEST = 1.0  # lab seconds of one step at first
_CODE = re.compile(r"[2-5]\d\d")


class TimeStep(msgspec.Struct):
    """What happened within one step of time. `depth`: messages in each node's queue at its end."""

    at: float
    depth: dict[str, int]
    attempts: int = 0
    delivered: int = 0
    bounced: int = 0
    replies: dict[str, int] = {}


class Series(msgspec.Struct, frozen=True):
    """Steps of time, each so many lab seconds long, oldest first; steps in which nothing happened
    are left out."""

    seconds: float
    steps: list[TimeStep]


class Figures:
    """Counts as they grow. `totals`: since the lab came up."""

    def __init__(self, nodes: tuple[str, ...] = ()) -> None:
        self.nodes = nodes
        self.totals: Counter[str] = Counter()
        self.replies: Counter[str] = Counter()
        self._seconds = FINEST
        self._steps: dict[int, TimeStep] = {}
        self._queued: dict[str, set[str]] = defaultdict(set)  # node -> queue ids

    @property
    def depth(self) -> dict[str, int]:
        """How many messages are in each node's queue."""
        return {node: len(self._queued[node]) for node in self.nodes}

    @property
    def series(self) -> Series:
        """All steps so far."""
        return Series(self._seconds, [self._steps[n] for n in sorted(self._steps)])

    def add(self, event: Event) -> None:
        """Count an event."""
        step, queued = self._step(event.at), self._queued[event.node]
        match event.body:
            case events.NodeReady(queued=0) | events.NodeErased():
                queued.clear()
            case events.Accepted(queue_id=queue_id):
                queued.add(queue_id)
                self.totals["accepted"] += 1
            case events.Removed(queue_id=queue_id):
                queued.discard(queue_id)
            case events.Bounced(action="failed"):
                step.bounced += 1
                self.totals["bounced"] += 1
            case events.AttemptStarted():
                step.attempts += 1
                self.totals["attempts"] += 1
            case events.MailboxDelivered():
                step.delivered += 1
                self.totals["delivered"] += 1
            case events.Tried(reply=reply) | events.Refused(reply=reply):
                self._reply(step, reply)
            case _:
                return
        step.depth[event.node] = len(queued)

    def _reply(self, step: TimeStep, reply: str) -> None:
        if found := _CODE.match(reply):
            step.replies[found[0]] = step.replies.get(found[0], 0) + 1
            self.replies[found[0]] += 1

    def _step(self, at: float) -> TimeStep:
        number = int(at // self._seconds)
        while number not in self._steps and len(self._steps) >= STEPS:
            self._coarsen()
            number = int(at // self._seconds)
        if number not in self._steps:
            self._steps[number] = TimeStep(number * self._seconds, self.depth, replies={})
        return self._steps[number]

    def _coarsen(self) -> None:
        """Make one of each two steps."""
        self._seconds *= 2
        merged: dict[int, TimeStep] = {}
        for old, step in sorted(self._steps.items()):
            into = merged.setdefault(old // 2, step)
            if into is step:
                step.at = old // 2 * self._seconds
            else:
                _merge(into, step)
        self._steps = merged


def _merge(into: TimeStep, later: TimeStep) -> None:
    into.depth = later.depth
    into.attempts += later.attempts
    into.delivered += later.delivered
    into.bounced += later.bounced
    for code, count in later.replies.items():
        into.replies[code] = into.replies.get(code, 0) + count
