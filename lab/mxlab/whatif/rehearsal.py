"""One outage of one length, played in the simulation, and what became of the mail."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.history.trace import LAB, Trace
from mxlab.model.finding import Finding, Verdict
from mxlab.model.scenario import Scenario
from mxlab.model.step import AnyStep, Dns, Fault, Heal, Send, Wait
from mxlab.runner.runner import run
from mxlab.whatif.outage import DAY, Outage
from mxlab.whatif.site import Site, with_schedule
from mxlab_services import events

MESSAGES = 8  # to each domain, at even times in the course of an outage
AFTER = 8 * DAY  # seconds that are waited after it: longer than any schedule keeps mail
_PHASE = 0.618  # of the time between two: so that no schedule's beat falls in with it
_COPIED = 60.0  # seconds until every name server has the zone
_PROMISES = ("nothing-lost", "nothing-forged", "duplicates-explained", "bounces-justified")


class Consequence(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the mail. All times are lab seconds.

    `waited`: host -> how many messages had to wait there. `delivered` of `sent` reached a mailbox,
    `copies` of them more than once. `slowest`: the longest way of a message that was delivered;
    `last_after`: from the end of the outage to the last delivery, None where none came after it.
    `bounced` were returned, the first `told_after` so long; of so many `warned` the sender heard
    that they are late. `broken`: promises of the lab that did not hold, in words.
    """

    outage: str
    lasts: float
    schedule: str
    sent: int
    waited: dict[str, int]
    delivered: int
    copies: int
    slowest: float | None
    last_after: float | None
    bounced: int
    told_after: float | None
    warned: int
    broken: tuple[str, ...] = ()


def rehearse(site: Site, outage: Outage, lasts: float, schedule: str) -> Consequence:
    """Play it. The mail comes from elsewhere, by a sender with the same schedule."""
    scenario = _story(site, outage, lasts, schedule)
    result = simulate(lambda: run(scenario, SimBackend(), lab="what-if", run_id="what-if"))
    return _Ways(result.trace).fate(site, outage, lasts, schedule, tuple(result.findings))


def _story(site: Site, outage: Outage, lasts: float, schedule: str) -> Scenario:
    topology = with_schedule(site, schedule)
    recipients = tuple(f"bob@{domain.domain}" for domain in topology.mail_domains)
    sender = f"alice@{topology.client_domain}"
    zone: list[AnyStep] = [Dns(zone=site.zone)] if site.zone else []
    steps: list[AnyStep] = [*zone, Wait(_COPIED)]
    steps += [Fault(f"f{n}", fault) for n, fault in enumerate(outage.faults)]
    between = lasts / MESSAGES
    steps.append(Wait(between * _PHASE))
    for number in range(MESSAGES):
        for which, recipient in enumerate(recipients):
            steps.append(Send(f"m{number}-{which}", sender, recipient))
        left = lasts - (number + _PHASE) * between
        steps.append(Wait(min(between, left)))
    steps += [Heal(f"f{n}") for n in range(len(outage.faults))]
    steps += [*zone, Wait(AFTER)]  # a name server of the lab's keeps no zone while it is down
    return Scenario(
        title=outage.name, topology=topology, steps=tuple(steps), expect=_PROMISES, idle_passes=True
    )


@dataclass(slots=True)
class _Way:
    """One message: when it was handed in, each delivery, and when its sender heard what."""

    sent: float
    delivered: list[float]
    bounced: float | None = None
    warned: bool = False


class _Ways:
    """A trace, read for the ways of the messages that the sender handed in."""

    def __init__(self, trace: Trace) -> None:
        self._ways: dict[str, _Way] = {}
        self._waited: dict[str, set[str]] = {}
        self._healed = max(_healed(trace), default=0.0)
        for event in trace.events():
            self._take(event)

    def _take(self, event: events.Event) -> None:
        body, message = event.body, event.message or ""
        match body:
            case events.Accepted(batch=batch) if batch:
                self._ways[message] = _Way(event.at, [])
            case events.Deferred() if message in self._ways:
                self._waited.setdefault(event.node, set()).add(message)
            case events.MailboxDelivered() if message in self._ways:
                self._ways[message].delivered.append(event.at)
            case events.Bounced(about=about, action=action) if about in self._ways:
                way = self._ways[about]
                if action == "failed" and way.bounced is None:
                    way.bounced = event.at
                way.warned |= action == "delayed"
            case _:
                pass

    def fate(
        self, site: Site, outage: Outage, lasts: float, schedule: str, found: tuple[Finding, ...]
    ) -> Consequence:
        ways = list(self._ways.values())
        arrived = [way for way in ways if way.delivered]
        late = [way.delivered[0] - self._healed for way in arrived]
        bounced = [way.bounced - way.sent for way in ways if way.bounced is not None]
        wrong = (finding for finding in found if finding.verdict is not Verdict.PASS)
        return Consequence(
            outage=outage.name, lasts=lasts, schedule=schedule, sent=len(ways),
            waited={site.called(host): len(held) for host, held in self._waited.items()},
            delivered=len(arrived), copies=sum(len(way.delivered) > 1 for way in ways),
            slowest=max((way.delivered[0] - way.sent for way in arrived), default=None),
            last_after=max((after for after in late if after > 0), default=None),
            bounced=len(bounced), told_after=min(bounced, default=None),
            warned=sum(way.warned for way in ways),
            broken=tuple(f"{one.check}: {one.text}" for one in wrong),
        )  # fmt: skip


def _healed(trace: Trace) -> Iterator[float]:
    for event in trace.by_node.get(LAB, ()):
        if isinstance(event.body, events.LabHealed):
            yield event.at
