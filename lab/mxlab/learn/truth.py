"""The right answer to a question of an exercise, computed from the lab as it is now.

Where a host that would have to be asked is down, or there is nothing to tell of, it is Unknown,
with the reason: that costs nobody a try.

Long: a function for each kind of question.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from mxlab.backends.base import Lab
from mxlab.errors import EnvironmentProblem
from mxlab.history.evidence import queue_of
from mxlab.learn.match import (
    Addresses,
    Code,
    HostNames,
    IpAddress,
    Number,
    Span,
    Truth,
    Unknown,
    Value,
    Words,
    host_forms,
)
from mxlab.learn.situation import Situation
from mxlab.learn.zones import ZoneLine, records_anywhere
from mxlab.model.answer import (
    AddressOf,
    AnyQuestion,
    AttemptsOf,
    Down,
    ExchangeCount,
    ExchangeOrder,
    FinalHostOf,
    FirstExchange,
    Fixed,
    HolderOf,
    JustHost,
    LifetimeOf,
    MailboxOf,
    NameServersOf,
    NextRetryOf,
    NotifiedOf,
    PreferenceOf,
    QueuedAt,
    RefuserOf,
    ReplyTo,
    ReporterOf,
    SettingOf,
    StatusOf,
    TtlOf,
)
from mxlab.model.replycode import code_of
from mxlab.scenario.settings import written
from mxlab_services import events
from mxlab_services.address import canonical
from mxlab_services.config import MtaConfig
from mxlab_services.control.replies import QueueEntry
from mxlab_services.control.requests import ConfigList, MailboxList, Ping
from mxlab_services.domain import fold_domain
from mxlab_services.events import Event
from mxlab_services.queue.retry import SCHEDULES

Answered = Truth | Unknown
REPLY = r"(?<![\d.])[2-5]\d\d(?!\d|\.\d)"
STATUS = r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?!\d|\.\d)"
SLACK = 1.0  # seconds that a time may always be off


async def truth(question: AnyQuestion, situation: Situation) -> Answered:
    """The right answer now."""
    computed = _COMPUTED[type(question)]
    try:
        found: Answered = await computed(question, situation)
    except EnvironmentProblem as error:
        return Unknown(str(error))
    return found


async def _holder_of(question: HolderOf, situation: Situation) -> Answered:
    batch = situation.trace.batches.get(question.batch)
    if batch is None:
        return _no_mail(question.batch)
    return _hosts(situation.lab, [host for host, count in batch.queued.items() if count])


async def _final_host_of(question: FinalHostOf, situation: Situation) -> Answered:
    if question.batch not in situation.trace.batches:
        return _no_mail(question.batch)
    told = _of_batch(situation, question.batch)
    return _hosts(
        situation.lab, [e.node for e in told if isinstance(e.body, events.MailboxDelivered)]
    )


async def _next_retry_of(question: NextRetryOf, situation: Situation) -> Answered:
    """Near to what is left of the wait, or between that and the whole wait: as one who looked a
    while ago has it."""
    lab, batch = situation.lab, question.batch
    held = situation.trace.batches.get(batch)
    planned: list[QueueEntry] = []
    for host in [] if held is None else [host for host, count in held.queued.items() if count]:
        if await lab.nodes[host].state() == "running":
            planned += [
                one async for one in queue_of(lab.nodes[host])
                if one.next_attempt is not None and _in_batch(situation, one.message, batch)
            ]  # fmt: skip
    if not planned:
        return Unknown(f"no host that runs plans another attempt at {batch}")
    entry = min(planned, key=lambda one: one.next_attempt or 0.0)
    at = entry.next_attempt or 0.0
    left = max(0.0, at - lab.clock.time())
    whole = max(left, at - _planned_at(situation, entry))
    share = question.within
    least, most = left * (1 - share) - SLACK, whole * (1 + share) + SLACK
    return Span(left, max(0.0, least), most)


def _planned_at(situation: Situation, entry: QueueEntry) -> float:
    """When the next attempt at a message was planned: at the end of the one before."""
    told = situation.trace.of_message(entry.message)
    ends = [e.at for e in told if isinstance(e.body, events.Deferred)]
    return ends[-1] if ends else entry.next_attempt or 0.0


async def _lifetime_of(question: LifetimeOf, situation: Situation) -> Answered:
    settings = await _settings(situation.lab, question.host)
    own = settings.get("retry.lifetime")
    seconds = SCHEDULES[settings["retry.schedule"]].lifetime if own is None else float(own)
    return _span(seconds)


async def _attempts_of(question: AttemptsOf, situation: Situation) -> Answered:
    if question.batch not in situation.trace.batches:
        return _no_mail(question.batch)
    told = _of_batch(situation, question.batch)
    begun = [e for e in told if isinstance(e.body, events.AttemptStarted)]
    return Number(sum(question.host in (None, event.node) for event in begun))


async def _reply_to(question: ReplyTo, situation: Situation) -> Answered:
    said = [
        code
        for event in _of_batch(situation, question.batch)
        if isinstance(event.body, events.Outcome)
        and (code := code_of(event.body.reply)[:3]).isdecimal()
    ]
    if not said:
        return Unknown(f"no host has replied to an attempt at {question.batch} so far")
    return Code(frozenset(said[-1:]), REPLY)


async def _status_of(question: StatusOf, situation: Situation) -> Answered:
    fates = [fate for fate in situation.trace.fates.values() if fate.batch == question.batch]
    codes = {status for fate in fates for status, _ in fate.reasons.values() if status}
    if not codes:
        return Unknown(f"nothing of {question.batch} has bounced so far")
    return Code(frozenset(codes), STATUS)


async def _notified_of(question: NotifiedOf, situation: Situation) -> Answered:
    if question.batch not in situation.trace.batches:
        return _no_mail(question.batch)
    told = _of_batch(situation, question.batch)
    return Addresses(frozenset(e.body.to for e in told if isinstance(e.body, events.Bounced)))


async def _reporter_of(question: ReporterOf, situation: Situation) -> Answered:
    told = _of_batch(situation, question.batch)
    found = [event.node for event in told if isinstance(event.body, events.Bounced)]
    if not found:
        return Unknown(f"nobody has been notified of {question.batch} so far")
    return _hosts(situation.lab, found)


async def _refuser_of(question: RefuserOf, situation: Situation) -> Answered:
    names = _names(situation.lab)
    said = [
        names.get(name := fold_domain(event.body.host), name)
        for event in _of_batch(situation, question.batch)
        if isinstance(event.body, events.Outcome)
        and event.body.outcome == "failed"
        and event.body.host
    ]
    if not said:
        return Unknown(f"no host has refused anything of {question.batch} for good so far")
    return _hosts(situation.lab, said)


async def _queued_at(question: QueuedAt, situation: Situation) -> Answered:
    node = situation.lab.nodes[question.host]
    if await node.state() != "running":  # what it was told to keep it keeps
        return Number(situation.trace.queued[question.host])
    return Number((await node.request(Ping())).queued)


async def _mailbox_of(question: MailboxOf, situation: Situation) -> Answered:
    address, lab, count = canonical(question.address), situation.lab, 0
    for name, node in lab.nodes.items():
        if name in lab.topology.dns_hosts:
            continue
        if await node.state() == "running":
            count += len(await node.request(MailboxList(address)))
        else:
            count += situation.trace.mailboxes[address][name]
    return Number(count)


async def _first_exchange(question: FirstExchange, situation: Situation) -> Answered:
    ranks = await _exchanges(situation.lab, question.domain)
    return _hosts(situation.lab, *ranks[:1])


async def _exchange_order(question: ExchangeOrder, situation: Situation) -> Answered:
    return _hosts(situation.lab, *await _exchanges(situation.lab, question.domain))


async def _preference_of(question: PreferenceOf, situation: Situation) -> Answered:
    domain = question.domain or situation.lab.topology.domain
    names = _names(situation.lab)
    for preference, name in await _mx_records(situation.lab, domain):
        if names.get(name) == question.host:
            return Number(preference)
    return Unknown(f"{question.host} is no exchange of {domain} now")


async def _exchange_count(question: ExchangeCount, situation: Situation) -> Answered:
    return Number(len(await _mx_records(situation.lab, question.domain)))


async def _address_of(question: AddressOf, situation: Situation) -> Answered:
    return IpAddress(frozenset(situation.lab.nodes[question.host].config.addresses))


async def _ttl_of(question: TtlOf, situation: Situation) -> Answered:
    found = await records_anywhere(situation.lab, question.name, question.type)
    if not found:
        return Unknown(f"{question.name} has no {question.type} record now")
    return _span(float(found[0].ttl), bare=True)


async def _name_servers_of(question: NameServersOf, situation: Situation) -> Answered:
    lab = situation.lab
    found = await records_anywhere(lab, question.domain, "NS")
    names = _names(lab)
    return _hosts(lab, [names.get(target := fold_domain(ns.data), target) for ns in found])


async def _down(_: Down, situation: Situation) -> Answered:
    nodes = situation.lab.nodes.items()
    return _hosts(situation.lab, [name for name, one in nodes if await one.state() != "running"])


async def _setting_of(question: SettingOf, situation: Situation) -> Answered:
    settings = await _settings(situation.lab, question.host)
    if question.name not in settings:
        return Unknown(f"{question.host} has no setting {question.name}")
    return Value(written(settings[question.name]))


async def _just_host(question: JustHost, situation: Situation) -> Answered:
    return _hosts(situation.lab, [question.host])


async def _fixed(question: Fixed, _: Situation) -> Answered:
    words = question.words
    return Words((words,) if isinstance(words, str) else words)


_COMPUTED: dict[type, Callable[[Any, Situation], Awaitable[Answered]]] = {
    HolderOf: _holder_of,
    FinalHostOf: _final_host_of,
    NextRetryOf: _next_retry_of,
    LifetimeOf: _lifetime_of,
    AttemptsOf: _attempts_of,
    ReplyTo: _reply_to,
    StatusOf: _status_of,
    NotifiedOf: _notified_of,
    ReporterOf: _reporter_of,
    RefuserOf: _refuser_of,
    QueuedAt: _queued_at,
    MailboxOf: _mailbox_of,
    FirstExchange: _first_exchange,
    ExchangeOrder: _exchange_order,
    PreferenceOf: _preference_of,
    ExchangeCount: _exchange_count,
    AddressOf: _address_of,
    TtlOf: _ttl_of,
    NameServersOf: _name_servers_of,
    Down: _down,
    SettingOf: _setting_of,
    JustHost: _just_host,
    Fixed: _fixed,
}


def _no_mail(batch: str) -> Unknown:
    return Unknown(f"the lab knows nothing of {batch}")


def _span(seconds: float, *, bare: bool = False) -> Span:
    return Span(seconds, seconds - 0.5, seconds + 0.5, bare)


def _of_batch(situation: Situation, batch: str) -> list[Event]:
    """What was told of its messages, by lab time."""
    trace = situation.trace
    messages = [key for key, fate in trace.fates.items() if fate.batch == batch]
    told = [event for key in messages for event in trace.of_message(key)]
    return sorted(told, key=lambda event: event.at)


def _in_batch(situation: Situation, message: str, batch: str) -> bool:
    fate = situation.trace.fates.get(message)
    return fate is not None and fate.batch == batch


async def _settings(lab: Lab, host: str) -> dict[str, Any]:
    return {one.key: one.value for one in await lab.nodes[host].request(ConfigList())}


async def _mx_records(lab: Lab, domain: str) -> list[tuple[int, str]]:
    """Preference and name of each exchange in DNS, best first; a null MX is none."""

    def read(line: ZoneLine) -> tuple[int, str]:
        preference, _, name = line.data.partition(" ")
        return int(preference), fold_domain(name.strip())

    found = sorted(read(line) for line in await records_anywhere(lab, domain, "MX"))
    return [(preference, name) for preference, name in found if name]


async def _exchanges(lab: Lab, domain: str) -> list[list[str]]:
    """The exchanges in groups of one preference, best first."""
    names, groups = _names(lab), dict[int, list[str]]()
    for preference, name in await _mx_records(lab, domain):
        groups.setdefault(preference, []).append(names.get(name, name))
    return list(groups.values())


def _names(lab: Lab) -> dict[str, str]:
    """Every form of a host's name -> the host: its own name, its full one, its addresses."""

    def forms(name: str) -> Iterable[str]:
        config = lab.nodes[name].config
        full = config.hostname if isinstance(config, MtaConfig) else f"{name}.{lab.topology.domain}"
        return (fold_domain(full), *config.addresses)

    return host_forms((name, forms(name)) for name in lab.nodes)


def _hosts(lab: Lab, *groups: Iterable[str]) -> HostNames:
    """All hosts of the groups, the order of which counts."""
    known = _names(lab)
    unlike = tuple(tuple(dict.fromkeys(group)) for group in groups)
    beside = {name: name for group in unlike for name in group}  # of hosts that are not the lab's
    return HostNames(unlike, beside | known)
