"""The judges of the backup: what it knows, how long it keeps mail, how it hands it on. Pure."""

from collections.abc import Callable, Iterator

from mxlab.audit.exchanges import ONLY_NAMES
from mxlab.audit.judging import Flaw, Seen, Sound, Unseen, judges
from mxlab.audit.products import (
    local_domains,
    message_size,
    never_tries_again,
    relay_domains,
    schedule_at,
    takes_any_recipient,
    told_by,
)
from mxlab.audit.setup import AuditSetup, SeenDomain, SeenHost
from mxlab.model.duration import format_duration
from mxlab_services.config import PATIENCE
from mxlab_services.faults.base import in_networks, is_host
from mxlab_services.faults.kinds import AnyFault, Greylist, ReplyWith
from mxlab_services.queue.retry import DAY, HOUR, Schedule

LEAST_LIFETIME = 4 * DAY  # RFC 5321 §4.5.4.1: "generally needs to be at least 4-5 days"
LONGEST_WAIT = 2 * HOUR
LEAST_JITTER = 0.05  # of a wait
LEAST_PATIENCE = PATIENCE["rfc"].greeting  # five minutes (RFC 5321 §4.5.3.2.1)
_FILTERED = ("MAIL", "RCPT", "DATA", "DOT", "CONNECT", "EHLO")


_OfBackup = Callable[[AuditSetup, SeenDomain, SeenHost], Iterator[Seen]]


def _of_each_backup(rule: str) -> Callable[[_OfBackup], _OfBackup]:
    """Declare the function below as what judges a host that is a backup, for one domain."""

    def declare(judge: _OfBackup) -> _OfBackup:
        @judges(rule)
        def of_all(setup: AuditSetup) -> Iterator[Seen]:
            if setup.source == "zone":
                yield Unseen(ONLY_NAMES)
                return
            for domain, _, host in setup.backups():
                if domain.text in relay_domains(host):
                    yield from judge(setup, domain, host)

        return judge

    return declare


_OfSender = Callable[[SeenHost], Iterator[Seen]]


def _of_each_sender(rule: str) -> Callable[[_OfSender], _OfSender]:
    """Declare the function below as what judges a host that keeps mail to hand it on: a backup, a
    relay, a client."""

    def declare(judge: _OfSender) -> _OfSender:
        @judges(rule)
        def of_all(setup: AuditSetup) -> Iterator[Seen]:
            if setup.source == "zone":
                yield Unseen(ONLY_NAMES)
                return
            for host in setup.hosts:
                if relay_domains(host) or host.config.submission_networks:
                    yield from judge(host)

        return judge

    return declare


@judges("backup-forwards")
def backup_forwards(setup: AuditSetup) -> Iterator[Seen]:
    if setup.source == "zone":
        yield Unseen(ONLY_NAMES)
        return
    for domain, exchange, host in setup.backups():
        if domain.text in local_domains(host):
            text = (
                f"{host.name}, a backup by its preference {exchange.preference}, takes mail for "
                f"{domain.text} as its own"
            )
            yield Flaw(exchange.place, text)
        elif domain.text in relay_domains(host):
            yield Sound(f"{host.name} hands on mail for {domain.text}")


@_of_each_backup("backup-knows-recipients")
def backup_knows_recipients(
    setup: AuditSetup, domain: SeenDomain, host: SeenHost
) -> Iterator[Seen]:
    if not takes_any_recipient(host, domain.text):
        yield Sound(f"{host.name} knows who is at {domain.text}")
    elif all(takes_any_recipient(other, domain.text) for _, other in setup.primaries(domain)):
        yield Unseen(f"the primary of {domain.text} takes any address, as its backup does")
    else:
        text = f"{host.name} takes mail for any address at {domain.text}"
        yield Flaw(host.place(told_by(host, "recipients")), text)


@_of_each_backup("backup-lifetime")
def backup_lifetime(setup: AuditSetup, domain: SeenDomain, host: SeenHost) -> Iterator[Seen]:
    lifetime = schedule_at(host).lifetime
    text = f"{host.name} keeps mail for {format_duration(lifetime)}"
    if lifetime < LEAST_LIFETIME:
        yield Flaw(host.place(told_by(host, "retry.lifetime")), text)
    else:
        yield Sound(text)


@_of_each_backup("backup-keeps-trying")
def backup_keeps_trying(setup: AuditSetup, domain: SeenDomain, host: SeenHost) -> Iterator[Seen]:
    if never_tries_again(host):
        place = host.place("product_settings.retry")
        yield Flaw(place, f"{host.name} has no retry rule: one failure, and mail is returned")
    else:
        yield Sound(f"{host.name} tries again")


@_of_each_backup("same-size-limit")
def same_size_limit(setup: AuditSetup, domain: SeenDomain, host: SeenHost) -> Iterator[Seen]:
    own = message_size(host)
    for _, primary in setup.primaries(domain):
        theirs = message_size(primary)
        if theirs is not None and (own is None or own > theirs):
            text = (
                f"{host.name} takes messages of {own or 'any number of'} bytes, "
                f"its primary {primary.name} of {theirs}"
            )
            yield Flaw(host.place(told_by(host, "limits.message_size")), text)
        else:
            yield Sound(f"{host.name} takes no larger messages than {primary.name}")


@_of_each_backup("same-filters")
def same_filters(setup: AuditSetup, domain: SeenDomain, host: SeenHost) -> Iterator[Seen]:
    for _, primary in setup.primaries(domain):
        if primary.faults is None or host.faults is None:
            yield Unseen("filters are no part of the lab's configuration")
            continue
        own = [_filter(fault) for fault in host.faults if _refuses(fault)]
        for fault in primary.faults:
            if _refuses(fault) and _filter(fault) not in own:
                text = f"{primary.name} refuses by `{fault}`, and {host.name} does not"
                yield Flaw(f"{host.name}: its filters", text)
        yield Sound(f"{host.name} refuses what {primary.name} refuses")


@_of_each_backup("backup-not-filtered")
def backup_not_filtered(setup: AuditSetup, domain: SeenDomain, host: SeenHost) -> Iterator[Seen]:
    for _, primary in setup.primaries(domain):
        if primary.faults is None:
            yield Unseen("filters are no part of the lab's configuration")
            continue
        for fault in primary.faults:
            if isinstance(fault, Greylist) and not _exempt(fault, host):
                text = f"{primary.name} greylists its own backup {host.name}"
                yield Flaw(f"{primary.name}: its filters", text)
        yield Sound(f"{primary.name} lets {host.name} pass")


@_of_each_backup("backup-patient")
def backup_patient(setup: AuditSetup, domain: SeenDomain, host: SeenHost) -> Iterator[Seen]:
    waits = host.config.timeouts.greeting
    text = f"{host.name} waits {format_duration(waits)} for a greeting"
    if waits >= LEAST_PATIENCE:
        yield Sound(text)
    else:
        yield Flaw(host.place("timeouts.greeting"), text)


@_of_each_sender("tell-the-sender")
def tell_the_sender(host: SeenHost) -> Iterator[Seen]:
    schedule = schedule_at(host)
    if not schedule.warning:
        yield Flaw(
            host.place(told_by(host, "retry.warning")), f"{host.name} tells nobody of a delay"
        )
    elif schedule.warning >= schedule.lifetime:
        text = f"{host.name} would warn after {format_duration(schedule.warning)}, and returns"
        yield Flaw(host.place(told_by(host, "retry.warning")), f"{text} mail before that")
    else:
        text = f"{host.name} tells senders after {format_duration(schedule.warning)}"
        yield Sound(text)


@_of_each_sender("retry-with-chance")
def retry_with_chance(host: SeenHost) -> Iterator[Seen]:
    schedule = schedule_at(host)
    first = schedule.delay(1, 0.0)
    if schedule.jitter + schedule.jitter_seconds / first < LEAST_JITTER:
        text = f"{host.name} tries again after fixed times: what failed together comes together"
        yield Flaw(host.place("retry.jitter"), text)
    else:
        yield Sound(f"{host.name} lengthens its waits by chance")


@_of_each_backup("start-the-queue")
def start_the_queue(setup: AuditSetup, domain: SeenDomain, host: SeenHost) -> Iterator[Seen]:
    wait = longest_wait(schedule_at(host))
    text = f"{host.name} waits up to {format_duration(wait)} between two attempts"
    if wait >= LONGEST_WAIT:
        yield Flaw(host.place("retry.schedule"), text)
    else:
        yield Sound(text)


def longest_wait(schedule: Schedule) -> float:
    """The longest that a message waits between two attempts before its lifetime ends, seconds."""
    age, attempts, longest = 0.0, 0, 0.0
    while age < schedule.lifetime and attempts < 100_000:
        attempts += 1
        wait = schedule.delay(attempts, age)
        longest, age = max(longest, wait), age + wait
    return longest


@_of_each_sender("several-at-a-time")
def several_at_a_time(host: SeenHost) -> Iterator[Seen]:
    most = host.config.limits.destination_concurrency
    text = f"{host.name} opens {most} connection{'s' * (most > 1)} to one destination"
    if most < 2:
        yield Flaw(host.place("limits.destination_concurrency"), text)
    else:
        yield Sound(text)


def _refuses(fault: AnyFault) -> bool:
    """Whether a fault stands for a filter: a refusal of some senders or peers, not of all."""
    return isinstance(fault, ReplyWith) and bool(
        fault.verb in _FILTERED and (fault.sender or fault.recipient or fault.peer)
    )


def _filter(fault: AnyFault) -> dict[str, object]:
    """What a filter does, whoever has it, and whatever it says of it."""
    return {key: value for key, value in fault.given().items() if key not in ("text", "enhanced")}


def _exempt(fault: Greylist, host: SeenHost) -> bool:
    """Whether a greylist leaves a host alone, by its name or address."""
    networks = tuple(peer for peer in fault.exempt if not is_host(peer))
    passes = any(in_networks(address, networks) for address in host.config.addresses)
    others = fault.peer is not None and not any(
        in_networks(address, (fault.peer,)) for address in host.config.addresses
    )
    return passes or others
