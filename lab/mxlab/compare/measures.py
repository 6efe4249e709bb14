"""What is compared: how long mail took, how often it was tried, what its senders heard. Pure."""

from itertools import pairwise

import msgspec

from mxlab.history.ledger import make_ledger
from mxlab.history.trace import LAB, Trace
from mxlab.model.finding import Verdict
from mxlab.model.topology import Topology
from mxlab.runner.result import RunResult
from mxlab_services import events


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one run. All times are lab seconds; None: it did not happen, or was not told.

    `at_backup`: from a message's submission until a backup had taken it, the slowest. `first_after`
    and `last_after`: from the return (the first fault that was healed) to the first and the last
    delivery after it. `attempts`: by host, of all messages; `waits`: between the attempts of the
    message that was tried most often there. `copies`: second copies in mailboxes. `failures` and
    `delays`: notifications of them.
    """

    label: str
    backend: str
    verdict: Verdict
    not_passed: tuple[str, ...]
    messages: int
    at_backup: float | None
    first_after: float | None
    last_after: float | None
    attempts: dict[str, int]
    waits: dict[str, tuple[float, ...]]
    copies: int
    failures: int
    delays: int


def measure(label: str, result: RunResult) -> Measures:
    """Read a run."""
    trace, topology = result.trace, result.scenario.topology
    returned = _returned(trace)
    after = sorted(
        event.at - returned
        for event in trace.events()
        if isinstance(event.body, events.MailboxDelivered)
        and returned is not None
        and event.at >= returned
    )
    tries = _tries(trace, topology)
    told = [event.body for event in trace.events() if isinstance(event.body, events.Bounced)]
    units = make_ledger(trace, result.evidence).units.values()
    return Measures(
        label=label, backend=result.backend, verdict=result.verdict,
        not_passed=tuple(f.check for f in result.findings if f.verdict is not Verdict.PASS),
        messages=len(result.evidence.submissions),
        at_backup=_at_backup(trace, topology),
        first_after=after[0] if after else None,
        last_after=after[-1] if after else None,
        attempts={host: sum(map(len, of.values())) for host, of in tries.items()},
        waits={host: _waits(max(of.values(), key=len)) for host, of in tries.items()},
        copies=sum(max(0, unit.deliveries - unit.ways) for unit in units),
        failures=sum(one.action == "failed" for one in told),
        delays=sum(one.action == "delayed" for one in told),
    )  # fmt: skip


def _returned(trace: Trace) -> float | None:
    """When the first fault was healed."""
    healed = (e.at for e in trace.by_node.get(LAB, ()) if isinstance(e.body, events.LabHealed))
    return min(healed, default=None)


def _at_backup(trace: Trace, topology: Topology) -> float | None:
    """The slowest way of a message from a client to a backup."""
    sent: dict[str, float] = {}
    taken: dict[str, float] = {}
    for event in trace.events():
        if not isinstance(event.body, events.Accepted) or event.message is None:
            continue
        if event.node in topology.sender_domains:
            sent.setdefault(event.message, event.at)
        elif event.node in topology.backups:
            taken.setdefault(event.message, event.at)
    ways = [at - sent[message] for message, at in taken.items() if message in sent]
    return max(ways, default=None)


def _tries(trace: Trace, topology: Topology) -> dict[str, dict[str, list[float]]]:
    """Sending host -> message -> when each attempt at it began."""
    found: dict[str, dict[str, list[float]]] = {}
    for host in (*topology.sender_domains, *topology.backups):
        own: dict[str, list[float]] = {}
        for event in trace.by_node.get(host, ()):
            if isinstance(event.body, events.AttemptStarted) and event.message:
                own.setdefault(event.message, []).append(event.at)
        if own:
            found[host] = own
    return found


def _waits(attempts: list[float]) -> tuple[float, ...]:
    return tuple(round(after - before, 3) for before, after in pairwise(attempts))
