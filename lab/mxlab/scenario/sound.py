"""What is wrong with a scenario that its types let pass: references that lead nowhere, addresses
and domains that no server may take, durations without bound, characters that cannot stand there.

It serves scenarios from files and from Python alike. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import msgspec

from mxlab.checks.registry import CHECKS
from mxlab.errors import UsageError
from mxlab.model.condition import AnyCondition, Struck
from mxlab.model.duration import LONGEST, too_long
from mxlab.model.mechanism import MECHANISMS, STRIKING
from mxlab.model.reference import Place, Reference, references
from mxlab.model.scenario import Problem, Scenario, steps_path, walk
from mxlab.model.step import (
    AnyStep,
    Config,
    Etrn,
    Eventually,
    Fault,
    Never,
    Parallel,
    Send,
    Wait,
)
from mxlab.model.submitting import Submitting
from mxlab.model.text import unfit
from mxlab.model.topology import Topology
from mxlab.scenario.settings import setting_value
from mxlab.visible import visible
from mxlab_services.address import domain_of, problem_of
from mxlab_services.domain import DomainError, checked, fold_domain
from mxlab_services.faults.base import NodeFault
from mxlab_services.faults.kinds import MailboxFull, misplaced
from mxlab_services.submit.given import field_in


def unsound(scenario: Scenario, *, lab_known: bool = True) -> list[Problem]:
    """All problems: what is named first, then durations and characters and, in a lab that is known,
    faults that no such node can have, each in the order of the file."""
    names = _Names(scenario).problems()
    found = [*_kinds(scenario), *names, *_lengths(scenario), *_texts(scenario)]
    return [*found, *_misplaced(scenario)] if lab_known else found


def misnamed(scenario: Scenario, value: msgspec.Struct, place: Place) -> list[Problem]:
    """What a struct at `place` names that is not there after the steps of the scenario."""
    names = _Names(scenario)
    for _ in names.problems():  # they declare what may be named
        pass
    return list(names.named_in(value, place))


def _misplaced(scenario: Scenario) -> Iterator[Problem]:
    topology = scenario.topology
    domains = {
        host: {fold_domain(d.domain) for d in topology.mail_domains if host in d.primaries}
        for host in topology.hosts
    }
    domains |= {relay.host: {fold_domain(relay.domain)} for relay in topology.relays}
    domains |= {host: {fold_domain(own)} for host, own in topology.sender_domains.items()}
    for path, step in walk(scenario.steps):
        if not isinstance(step, Fault) or not isinstance(fault := step.mechanism, NodeFault):
            continue
        if fault.host not in topology.hosts:
            continue  # told of all hosts alike
        there: set[str] | None = None
        if fault.host not in topology.dns_hosts:
            there = set(domains[fault.host])
            if isinstance(fault, MailboxFull) and "@[" in fault.address:
                there.add(domain_of(fault.address))  # a node's own address: a backend's choice
        takes = topology.submission is not None and fault.host == topology.client
        if wrong := misplaced(fault, fault.host, there, tls=topology.tls, submission=takes):
            key = "address" if isinstance(fault, MailboxFull) and there is not None else "host"
            yield Problem((*steps_path(path), "fault", fault.kind, key), wrong)


def _kinds(scenario: Scenario) -> Iterator[Problem]:
    for number, kind in enumerate(scenario.needs):
        if kind not in MECHANISMS:
            text = "there is no fault of that kind"
            yield Problem(("needs", number), text, kind, tuple(MECHANISMS))
    if scenario.backend and scenario.backends and scenario.backend not in scenario.backends:
        text = "that is none of `backends`"
        yield Problem(("backend",), text, scenario.backend, scenario.backends)


class _Names:
    """What is declared at each step of the story, and what is named there."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._batches: list[str] = []
        self._faults: dict[str, str] = {}  # id -> kind

    def problems(self) -> Iterator[Problem]:
        for path, step in walk(self._scenario.steps):
            yield from self._step(step, (*steps_path(path), step.key))
        for number, item in enumerate(self._scenario.expect):
            if not isinstance(item, str):
                yield from self._condition(item, ("expect", number, item.key))
            elif item not in CHECKS:
                text = "there is no check of that name"
                yield Problem(("expect", number), text, item, tuple(CHECKS))

    def _step(self, step: AnyStep, place: Place) -> Iterator[Problem]:
        match step:
            case Send(id=name):
                if name in self._batches:
                    yield Problem((*place, "id"), f"batch {name!r} is sent twice")
                self._batches.append(name)
                yield from _mail(step, place)
                if step.submission is not None:
                    topology = self._scenario.topology
                    yield from handing_in(step, step.submission, topology, place)
            case Fault(id=name, mechanism=mechanism):
                if name in self._faults:
                    yield Problem((*place, "id"), f"two faults have the id {name!r}")
                self._faults[name] = mechanism.kind
                for host in mechanism.hosts:
                    yield from self._named(Reference("host", host, (*place, mechanism.kind)))
            case Eventually(condition=condition) | Never(condition=condition):
                yield from self._condition(condition, (*place, condition.key))
            case Config(settings=settings):
                yield from _settings(settings, (*place, "set"))
            case Etrn(host=host, asks=asks) if host == asks:
                yield Problem((*place, "asks"), f"{host} asks itself")
            case _:
                pass
        yield from self.named_in(step, place)

    def _condition(self, condition: AnyCondition, place: Place) -> Iterator[Problem]:
        yield from self.named_in(condition, place)
        if wrong := condition.misfit():
            yield Problem(place, wrong)
        if isinstance(condition, Struck):
            name, kind = condition.fault, self._faults.get(condition.fault, "")
            if kind and kind not in STRIKING:
                text = f"of {name}, which is {kind}, no node tells when it strikes"
                yield Problem(place, text)

    def named_in(self, value: msgspec.Struct, place: Place) -> Iterator[Problem]:
        """What of all that it names is not there."""
        for reference in references(value, place):
            yield from self._named(reference)

    def _named(self, one: Reference) -> Iterator[Problem]:
        """What is wrong with a name: nothing that is there has it, or nothing can."""
        topology = self._scenario.topology
        match one.what:
            case "host":
                yield from _unknown(one, "there is no such host", topology.hosts)
            case "mail host":
                hosts = tuple(host for host in topology.hosts if host not in topology.dns_hosts)
                yield from _unknown(one, "there is no such mail host", hosts)
            case "name server":
                yield from _unknown(one, "there is no such name server", topology.dns_hosts)
            case "sender":
                yield from _unknown(one, "there is no such client", topology.sender_domains)
            case "batch":
                yield from _unknown(one, "no batch of that id was sent before", self._batches)
            case "fault":
                yield from _unknown(one, "no fault of that id was injected before", self._faults)
            case "domain":
                yield from _no_domain(one)
            case "address" | "reverse-path":
                null = one.what == "reverse-path" and one.name in ("", "<>")
                # Control characters are told where the file is read.
                if not null and one.name.isprintable() and (wrong := problem_of(one.name)):
                    text = f"{one.name[:80]!r} is no mail address: {wrong.text}"
                    yield Problem(one.place, text)


def _settings(settings: Mapping[str, object], place: Place) -> Iterator[Problem]:
    for key, given in settings.items():
        try:
            setting_value(key, given)
        except UsageError as error:
            text = str(error).removeprefix(f"{key}: ")
            yield Problem((*place, key), text, hint=error.hint)


def _mail(step: Send, place: Place) -> Iterator[Problem]:
    """What a sender cannot wish, and what cannot stand beside a whole message."""
    wishes = step.wishes
    if "never" in wishes and len(wishes) > 1:
        others = ", ".join(wish for wish in wishes if wish != "never")
        yield Problem((*place, "notify"), f"never, and yet {others} (RFC 3461 §4.1)")
    elif (len(set(wishes)) < len(wishes) or wishes == ()) and step.notify is not None:
        yield Problem((*place, "notify"), "each of them once, and at least one")
    for number, line in enumerate(step.headers):
        if line.isprintable():  # control characters are told where the file is read
            try:
                field_in(line)
            except ValueError as error:
                yield Problem((*place, "headers", number), str(error))
    if step.eml:
        for key in ("size", "subject", "body"):
            if getattr(step, key) != getattr(_PLAIN, key):
                text = f"the message in {step.eml} has its own: leave `{key}` out"
                yield Problem((*place, key), text)


def handing_in(step: Send, how: Submitting, topology: Topology, place: Place) -> Iterator[Problem]:
    """What cannot be of a program that hands mail in."""
    at = (*place, "submission")
    users = topology.submission.users if topology.submission else None
    if wrong := how.misfit():
        yield Problem(at, wrong)
    if users is None:
        text = "nobody may hand in mail in this lab"
        yield Problem(at, text, hint="the topology says who: submission: {users: {alice: secret}}")
    elif how.user is not None and how.password is None and how.user not in users:
        text = "the topology has no password of that user"
        yield Problem((*at, "user"), text, visible(how.user[:80]), tuple(users))
    if step.via not in (None, topology.client):
        text = f"mail is handed in at {topology.client}, and {step.via} is another client"
        yield Problem((*place, "via"), text, hint="leave `via` out")


_PLAIN = Send("plain", "", ())


def _unknown(one: Reference, text: str, known: Iterable[str]) -> Iterator[Problem]:
    if one.name not in known:
        yield Problem(one.place, text, one.name, tuple(known))


def _no_domain(one: Reference) -> Iterator[Problem]:
    try:
        checked(one.name)
    except DomainError as error:
        yield Problem(one.place, f"no domain: {error}")


def _lengths(scenario: Scenario) -> Iterator[Problem]:
    """Durations without bound, each and together: a story has to end."""
    total = 0.0
    for path, step in walk(scenario.steps):
        match step:
            case Wait(seconds=seconds):
                key: tuple[str, ...] = ("wait",)
            case Eventually(within=seconds):
                key = ("eventually", "within")
            case Never(during=seconds):
                key = ("never", "during")
            case Send(submission=Submitting(tries=tries) as how) if tries > 1:
                key, seconds = ("send", "submission"), (tries - 1) * how.pauses * step.count
            case Send(rate=rate, count=count) if rate > 0:
                key, seconds = ("send", "rate"), (count - 1) / rate * scenario.time_scale
            case _:
                continue
        total += seconds
        if too_long(seconds) or total > LONGEST:
            text = "with the steps before it takes more than ten years (3660d): a story has to end"
            if too_long(seconds):
                text = f"{seconds:g} s is no duration from 0 to ten years (3660d)"
            yield Problem((*steps_path(path), *key), text)
            return


def _texts(scenario: Scenario) -> Iterator[Problem]:
    """Characters that cannot stand where they do."""
    for name in ("id", "title", "summary", "needs", "topology"):
        for path, text in unfit(getattr(scenario, name), name, (name,)):
            yield Problem(path, text)
    for path, step in walk(scenario.steps):
        where = (*steps_path(path), step.key)
        found: Iterator[tuple[Place, str]]
        match step:
            case Parallel():
                found = iter(())  # its steps come by themselves
            case Fault(id=name, mechanism=mechanism):
                found = chain(
                    unfit(name, "id", (*where, "id")),
                    unfit(mechanism, "", (*where, mechanism.kind)),
                )
            case Eventually(condition=condition) | Never(condition=condition):
                found = unfit(condition, "", (*where, condition.key))
            case _:
                found = unfit(step, "", where)
        yield from (Problem(at, text) for at, text in found)
    for number, item in enumerate(scenario.expect):
        key = () if isinstance(item, str) else (item.key,)
        for at, text in unfit(item, "", ("expect", number, *key)):
            yield Problem(at, text)
