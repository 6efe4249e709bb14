"""A recorded run as something to watch: its events in order, what is marked on its line of time,
and its messages, where they were kept.
"""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Literal

import msgspec

from mxlab.errors import Refused, UsageError
from mxlab.history.biography import describe
from mxlab.model.scenario import walk
from mxlab.model.step import Fault
from mxlab.plan.plan import AddressPlan, make_plan
from mxlab.runner.result import RunResult
from mxlab.visible import visible_text
from mxlab_services import events
from mxlab_services.config import AnyConfig
from mxlab_services.events import Event
from mxlab_services.faults.base import Mechanism
from mxlab_services.storage.maildir import unique_name

SUBNET = "10.53.25.0/24"  # of nodes that never said at what address they were
ROUNDING = 1e-6  # seconds: a moment is told to the microsecond
NO_CONTENT = "the recording tells what happened to messages, and has none of them"
KEEP_IT = "`mxlab run --bundle FILE` keeps them; `mxlab board FILE` shows them"
Letters = Mapping[tuple[str, str, str], bytes]  # node, mailbox, unique name -> the message
_MARKED: dict[type, Literal["step", "fault", "healed"]] = {
    events.LabStep: "step",
    events.LabFault: "fault",
    events.LabHealed: "healed",
}


class NotRecorded(Refused):
    """The recording has not got the message that is asked for."""


class MarkView(msgspec.Struct, frozen=True):
    """Something to see on the line of time, so many lab seconds after the beginning. `fault`: the
    id of the one that began or ended."""

    at: float
    kind: Literal["step", "fault", "healed"]
    text: str
    fault: str = ""


class RecordedRun:
    """A run that is over. `letters`: the messages of its mailboxes, as far as they were kept;
    `why_none`: why one may be missing. Raises UsageError where nothing happened in it."""

    def __init__(
        self, result: RunResult, letters: Letters | None = None, why_none: str = NO_CONTENT
    ) -> None:
        self.result, self.why_none = result, why_none
        self._letters: Letters = {} if letters is None else letters
        self.events = _in_order(result)
        if not self.events:
            raise UsageError("no event stands in this run", "there is nothing to replay")
        self.begin = self.events[0].at  # lab time
        self.length = self.events[-1].at - self.begin  # lab seconds
        self.configs = _configs(result, self.events)
        steps = (step for _, step in walk(result.scenario.steps))
        self.mechanisms: dict[str, Mechanism] = {
            step.id: step.mechanism for step in steps if isinstance(step, Fault)
        }

    @property
    def marks(self) -> list[MarkView]:
        """Steps, faults and their ends."""
        return [
            MarkView(
                round(event.at - self.begin, 6),
                _MARKED[type(event.body)],
                visible_text(describe(event)),
                visible_text(getattr(event.body, "id", "")),
            )
            for event in self.events
            if type(event.body) in _MARKED
        ]

    def number_at(self, position: float) -> int:
        """How many events have been so many lab seconds after the beginning."""
        now = self.begin + position + ROUNDING
        return bisect_right(self.events, now, key=lambda event: event.at)

    @property
    def has_letters(self) -> bool:
        """Whether any message was kept."""
        return bool(self._letters)

    def letter(self, node: str, mailbox: str, name: str) -> bytes | None:
        """A message as it lay in the mailbox in the end, where it was kept."""
        return self._letters.get((node, mailbox, unique_name(name)))


def _in_order(result: RunResult) -> list[Event]:
    """All events by lab time. Of those of one instant a node's first comes first: it is there
    before anything befalls it."""
    first = {id(told[0]) for told in result.trace.by_node.values() if told}
    return sorted(result.trace.events(), key=lambda event: (event.at, id(event) not in first))


def _configs(result: RunResult, told: list[Event]) -> dict[str, AnyConfig]:
    """Each node's configuration, with the address that it said it had."""
    topology = result.evidence.topology
    plan = make_plan(result.scenario.id or "lab", result.run_id, topology, AddressPlan(SUBNET))
    addresses = {
        event.node: event.body.addresses[0]
        for event in reversed(told)
        if isinstance(event.body, events.NodeReady) and event.body.addresses
    }
    return {
        config.node: msgspec.structs.replace(
            config, address=addresses.get(config.node, config.address)
        )
        for config in plan.nodes
    }
