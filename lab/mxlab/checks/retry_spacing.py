"""Whether senders keep the times of their retry schedule (RFC 5321 §4.5.4.1, MAIL-RULES C1). Pure.

Judged from what nodes did, not from what they say they know: a message is not tried before the time
its schedule gives, and a destination where no host answered is left alone by all messages alike.
Of a product, whose times are its own, and whole real seconds, no message may be tried sooner than
the schedule's least wait after it was tried in vain, unless the destination took other mail
meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mxlab.checks.retrying import Retrying
from mxlab.history.trace import Trace
from mxlab.model.topology import Topology
from mxlab.plan.retries import retry_config
from mxlab_services import events
from mxlab_services.address import domain_of
from mxlab_services.events import Event

_SLACK = 0.01  # lab seconds: events bear the time at which they are told
_UNANSWERED = ("skipped", "connect", "greeting", "ehlo")  # stages that are no answer from the host


@dataclass(slots=True)
class Spacing:
    """`waits`: how many retries and pauses of destinations were looked at; `wrong`, in words."""

    waits: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _OpenAttempt:
    """A running attempt: was any host tried, did any answer, was there a route at all? `seq`
    and `at`: the event that said so last, and its time. A disk that refuses lets the record of the
    failure come later than the failure."""

    domain: str
    seq: int
    at: float
    tried: bool = False
    answered: bool = False
    routeless: bool = False


@dataclass(slots=True)
class _Node:
    """What one node has promised by now. Keys: queue id and recipient, or domain."""

    arrived: dict[str, float] = field(default_factory=dict)
    deferrals: dict[tuple[str, str], int] = field(default_factory=dict)
    not_before: dict[tuple[str, str], float] = field(default_factory=dict)
    dead_since: dict[str, float] = field(default_factory=dict)
    dead_until: dict[str, float] = field(default_factory=dict)
    running: dict[str, dict[str, _OpenAttempt]] = field(default_factory=dict)  # queue id, domain
    asked: int = -1  # the last event by which somebody asked for a try
    answered: dict[str, int] = field(default_factory=dict)  # domain -> the last by which it did


def spacing(trace: Trace, topology: Topology, time_scale: float = 1.0) -> Spacing:
    """All retries of all nodes, each against the node's own schedule, or what it was changed to.
    `time_scale`: lab seconds in a real one."""
    found = Spacing()
    for name, stream in trace.by_node.items():
        if not topology.tells(name, "queue.deferred.next_attempt"):
            grain = max(1.0, time_scale)
            tries = _Tries(Retrying(retry_config(topology, name)), found, grain)
            found.wrong += [f"{name}: {text}" for event in stream for text in tries.take(event)]
            tries.end(stream[-1].at)
            continue
        node, retrying = _Node(), Retrying(retry_config(topology, name))
        for event in stream:
            if event.seq == 0:  # a new life knows no dead destinations
                node.dead_until.clear()
                node.dead_since.clear()
                node.running.clear()
                node.answered.clear()
                node.asked = -1
            retrying.take(event)
            for text in _take(node, event, retrying, found):
                found.wrong.append(f"{name}: {text}")
    return found


def _take(node: _Node, event: Event, retrying: Retrying, found: Spacing) -> Iterator[str]:
    match event.body:
        case events.Accepted(queue_id=queue_id):
            node.arrived[queue_id] = event.at
        case events.AttemptStarted(queue_id=queue_id, domain=domain, recipients=recipients):
            yield from _too_early(node, event.at, queue_id, domain, recipients)
            begun = _OpenAttempt(domain, event.seq, event.at)
            node.running.setdefault(queue_id, {})[domain] = begun
        case events.Routed(domain=domain, targets=[]):
            for attempt in (of[domain] for of in node.running.values() if domain in of):
                attempt.routeless, attempt.seq, attempt.at = True, event.seq, event.at
        case events.Tried(stage=stage) as tried:
            for attempt in _tried(node, tried):
                attempt.tried, attempt.seq, attempt.at = True, event.seq, event.at
                if stage not in _UNANSWERED:
                    attempt.answered = True
                    node.answered[attempt.domain] = event.seq
                    node.dead_until.pop(attempt.domain, None)
                    node.dead_since.pop(attempt.domain, None)
        case events.Deferred(queue_id=queue_id) as deferred:
            yield from _deferred(node, event.at, deferred, retrying, found)
        case events.Removed(queue_id=queue_id):
            node.running.pop(queue_id, None)
        case events.Flushed(scope=scope):
            node.asked = event.seq
            _flushed(node, scope)
        case events.Edited(queue_id=queue_id):
            node.asked = event.seq
            _flushed(node, queue_id)
            node.dead_until.clear()
        case _:
            pass


def _tried(node: _Node, tried: events.Tried) -> list[_OpenAttempt]:
    """The attempt of which a try is part; in an old recording, the message's last one."""
    running = node.running.get(tried.queue_id, {})
    if tried.domain:
        return [running[tried.domain]] if tried.domain in running else []
    return list(running.values())[-1:]


def _too_early(
    node: _Node, at: float, queue_id: str, domain: str, recipients: list[str]
) -> Iterator[str]:
    for recipient in recipients:
        due = node.not_before.pop((queue_id, recipient), 0.0)
        if at + _SLACK < due:
            yield f"{queue_id} for {recipient} was tried {due - at:.1f} s too early"
    dead_until = node.dead_until.get(domain, 0.0)
    if at + _SLACK < dead_until:
        yield (
            f"{queue_id} was tried although {domain} had not answered: {dead_until - at:.1f} s "
            f"too early for any message"
        )


def _deferred(
    node: _Node, at: float, deferred: events.Deferred, retrying: Retrying, found: Spacing
) -> Iterator[str]:
    queue_id = deferred.queue_id
    domain = domain_of(deferred.recipients[0])
    ended = node.running.get(queue_id, {}).pop(domain, None)
    at = ended.at if ended is not None else at
    schedules = retrying.schedules(at)
    for recipient in deferred.recipients:
        key = (queue_id, recipient)
        count = node.deferrals[key] = node.deferrals.get(key, 0) + 1
        node.not_before[key] = deferred.next_attempt
        found.waits += 1
        age = max(0.0, at - node.arrived.get(queue_id, at))
        wait = deferred.next_attempt - at
        ages = (max(0.0, age - 1.0), age)  # by the clock of the node it may have been less
        least = min(schedule.delay(count, one) for schedule in schedules for one in ages)
        if wait < least - 1.0:
            yield (
                f"{queue_id} for {recipient} is to wait {wait:.1f} s after failure {count}, where "
                f"{schedules[-1].name} says {least:.1f} s"
            )
    if ended is None or ended.answered:
        return
    if ended.seq < max(node.asked, node.answered.get(ended.domain, -1)):
        return  # overtaken by better news
    if ended.tried or ended.routeless:
        # A schedule may count from when the destination was first found dead.
        ages = (0.0, max(0.0, at - node.dead_since.setdefault(ended.domain, at)))
        least = min(s.delay(1, age) for s in schedules for age in ages)
        node.dead_until[ended.domain] = at + least - 1.0


class _Tries:
    """The tries of a node that does not tell when it will try again, and that counts in `grain` lab
    seconds. Keys: queue id, domain."""

    def __init__(self, retrying: Retrying, found: Spacing, grain: float) -> None:
        self._retrying, self._found, self._grain = retrying, found, grain
        self._reached: dict[tuple[str, str], bool] = {}  # the last attempt: it tried a host
        self._failed: dict[tuple[str, str], float] = {}  # when one that did ended in vain
        self._arrived: dict[str, float] = {}

    def take(self, event: Event) -> Iterator[str]:
        """What is wrong with the next event of the node."""
        self._retrying.take(event)
        match event.body:
            case events.Accepted(queue_id=queue_id):
                self._arrived[queue_id] = event.at
            case events.AttemptStarted(queue_id=queue_id, domain=domain):
                self._reached[queue_id, domain] = False
            case events.Tried(queue_id=queue_id, domain=domain, stage=stage) if stage != "skipped":
                yield from self._tried(event.at, queue_id, domain)
            case events.Outcome(queue_id=queue_id, recipient=recipient) as said if said.host:
                domain = domain_of(recipient)
                yield from self._tried(event.at, queue_id, domain)
                if said.outcome == "delivered":
                    for key in [key for key in self._failed if key[1] == domain]:
                        del self._failed[key]
            case events.Deferred(queue_id=queue_id, recipients=[recipient, *_]):
                key = (queue_id, domain_of(recipient))
                if self._reached.get(key):
                    self._failed[key] = event.at
            case events.NodeReady() | events.Flushed() | events.Edited():
                self.end(event.at)
            case _:
                pass

    def end(self, at: float) -> None:
        """Somebody asks for tries at this time: what was left alone long enough has kept it."""
        for (queue_id, _), failed in self._failed.items():
            self._found.waits += at - failed >= self._least(queue_id, failed) - self._grain
        self._failed.clear()

    def _least(self, queue_id: str, failed: float) -> float:
        """The least wait of the schedule: at the beginning, or, where a first attempt that took
        long counts into it, at the message's age."""
        ages = (0.0, max(0.0, failed - self._arrived.get(queue_id, failed)))
        schedules = self._retrying.schedules(failed)
        return min(schedule.delay(1, age) for schedule in schedules for age in ages)

    def _tried(self, at: float, queue_id: str, domain: str) -> Iterator[str]:
        """A host was tried: was it too early for the attempt?"""
        if self._reached.get((queue_id, domain), True):
            return
        self._reached[queue_id, domain] = True
        if (failed := self._failed.pop((queue_id, domain), None)) is None:
            return
        self._found.waits += 1
        least = self._least(queue_id, failed)
        if at - failed < least - self._grain:
            name = self._retrying.schedules(failed)[-1].name
            text = f"{queue_id} was tried at {domain} {at - failed:.1f} s after it failed there"
            yield f"{text}, where {name} waits {least:.1f} s at least"


def _flushed(node: _Node, scope: str) -> None:
    """Somebody asked for a try: what was promised for these no longer counts."""
    for key in list(node.not_before):
        queue_id, recipient = key
        if scope in ("all", queue_id) or recipient.endswith(f"@{scope}"):
            del node.not_before[key]
    for domain in list(node.dead_until):
        if scope in ("all", domain) or scope in node.arrived:
            del node.dead_until[domain]
