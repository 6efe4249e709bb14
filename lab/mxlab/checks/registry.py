"""The checks that a scenario may expect, each declared once: name, meaning, what it looks at. Pure.

The loader, lint, the schema, `scenario show`, the reports and docs/scenarios.md read them here.

Long: a function for each check, most of them a few lines.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from mxlab.checks import mx_order
from mxlab.checks.copies import expired_answers
from mxlab.checks.result import Case, Check, CheckResult, Judge, submitted
from mxlab.checks.retry_spacing import spacing
from mxlab.checks.silence import silences
from mxlab.checks.unrouted import unrouted_faults, unrouted_walks
from mxlab.checks.untold import Needs, Whose
from mxlab.checks.waiting import deferred_at, kept_until_healed
from mxlab.history.trace import LAB
from mxlab.model.mechanism import STRIKING
from mxlab.model.topology import families
from mxlab.plan.mail import smarthost_name
from mxlab_services import events

_checks: dict[str, Check] = {}
CHECKS: Mapping[str, Check] = _checks  # by name, in the order in which they stand here


def check(name: str, meaning: str, **needs: Whose) -> Callable[[Judge], Judge]:
    """Declares a check: what it proves where it passes; its docstring says when it fails. `needs`:
    kinds of events (`queue_deferred`), and the hosts that have to tell them."""
    kinds: Needs = {kind.replace("_", "."): whose for kind, whose in needs.items()}

    def declared(judge: Judge) -> Judge:
        fails = " ".join((judge.__doc__ or "").split())
        _checks[name] = Check(name, meaning, fails, judge, kinds)
        return judge

    return declared


@check(
    "nothing-lost",
    "no message that somebody acknowledged is lost",
    message_accepted="all",
    bounce_sent="all",
    queue_edited="all",
)
def _nothing_lost(case: Case) -> CheckResult:
    """Fails when a message that somebody acknowledged is neither delivered, queued, bounced
    nor deleted by hand."""
    owed = [unit for unit in case.ledger.units.values() if unit.owed]
    lost = [f"{unit}: owed by {unit.owed[-1]}" for unit in owed if unit.state == "lost"]
    messages = {message for message, _ in case.ledger.units}
    lost += [
        f"{unit}: bounced, but its notification {notice} was never queued"
        for unit in owed
        for notice in unit.notices
        if unit.state == "bounced" and notice not in messages
    ]
    states = sorted({unit.state for unit in owed})
    tally = ", ".join(f"{sum(u.state == s for u in owed)} {s}" for s in states)
    return CheckResult(
        len(owed),
        tuple(lost),
        f"all {len(owed)} that were taken are accounted for: {tally}",
        f"{len(lost)} of {len(owed)} are lost: taken with 250, and nowhere to be found",
    )


@check(
    "nothing-forged",
    "no mailbox holds what nobody sent there",
    message_accepted="all",
    alias_expanded="primaries",
)
def _nothing_forged(case: Case) -> CheckResult:
    """Fails when a mailbox holds a message that nobody sent to that recipient."""
    entries = sum(len(found) for found in case.evidence.mailboxes.values())
    forged = case.ledger.forged
    return CheckResult(
        entries,
        forged,
        f"all {entries} messages in mailboxes were sent to just that recipient",
        f"{len(forged)} of {entries} messages in mailboxes were never sent there",
    )


@check("nothing-altered", "no content was changed on the way", message_accepted="all")
def _nothing_altered(case: Case) -> CheckResult:
    """Fails when the content below the trace fields differs anywhere on the way."""
    altered = [f"{a.message} at {a.node}, {a.where}" for a in case.ledger.altered]
    untold = case.ledger.uncompared
    rest = f" ({untold} more were not told)" if untold else ""
    return CheckResult(
        case.ledger.compared,
        tuple(altered),
        f"{case.ledger.compared} digests are what the senders gave{rest}",
        f"{len(altered)} of {case.ledger.compared} digests are not what the senders gave",
        whole=False,
    )


@check(
    "duplicates-explained",
    "a second copy is there only where an acknowledgement was lost",
    relay_outcome="all",
)
def _duplicates_explained(case: Case) -> CheckResult:
    """Fails when an extra copy is not explained by an acknowledgement that was lost."""
    delivered = [unit for unit in case.ledger.units.values() if unit.deliveries]
    extra = sum(max(0, unit.deliveries - unit.ways) for unit in delivered)
    wrong = [
        f"{unit}: {unit.deliveries} copies, {len(unit.unknowns)} lost acknowledgements"
        for unit in delivered
        if unit.deliveries - unit.ways > len(unit.unknowns)
    ]
    reasons = [u.unknowns[0] for u in delivered if u.deliveries > u.ways and u.unknowns]
    explained = f"{extra} extra copies, each explained: {'; '.join(reasons)}"
    return CheckResult(
        len(delivered),
        tuple(wrong),
        explained if extra else f"{len(delivered)} delivered, each once",
        f"{len(wrong)} have copies that no lost acknowledgement explains",
    )


@check(
    "mx-order",
    "every attempt tried the exchanges in the order of their preference",
    attempt_started="all",
    relay_tried="all",
)
def _mx_order(case: Case) -> CheckResult:
    """Fails when an attempt skipped a better exchange, or the smarthost, or an address of one, or
    tried an address of a family of IP in which the sender has none."""
    topology = case.evidence.topology
    walks = [w for w in mx_order.walks(case.trace) if topology.tells(w.node, "route")]
    others = unrouted_walks(case.trace, topology)
    nodes = {walk.node for walk in walks}
    smart = {host: smarthost_name(topology, host) for host in nodes}
    own = {host: families(topology, host) for host in nodes}
    wrong = [
        text
        for walk in walks
        for text in (
            *mx_order.faults_of(walk, smart[walk.node]),
            *mx_order.address_faults_of(walk, own[walk.node]),
        )
    ]
    wrong += [text for walk in others for text in unrouted_faults(walk, topology)]
    total = len(walks) + len(others)
    return CheckResult(
        total,
        tuple(wrong),
        f"{total} attempts tried the hosts in the order of their preference",
        f"{len(wrong)} attempts did not try the hosts in order (RFC 5321 §5.1)",
        whole=True,
    )


@check(
    "retry-spacing",
    "every retry waited as long as the schedule says",
    attempt_started="all",
    relay_tried="all",
    queue_deferred="all",
)
def _retry_spacing(case: Case) -> CheckResult:
    """Fails when an attempt came earlier than the schedule of its host says, or at a
    destination that was to be left alone."""
    found = spacing(case.trace, case.evidence.topology, case.evidence.time_scale)
    return CheckResult(
        found.waits,
        tuple(found.wrong),
        f"{found.waits} retries kept the times of the schedule",
        f"{len(found.wrong)} times a retry came too early (RFC 5321 §4.5.4.1)",
        whole=False,
    )


@check(
    "bounces-justified",
    "what was given up was given up for a permanent reason",
    relay_outcome="all",
    bounce_sent="all",
)
def _bounces_justified(case: Case) -> CheckResult:
    """Fails when mail was given up without a 5yz, a certain answer of the DNS, or the end of
    its lifetime."""
    found = case.failures
    return CheckResult(
        found.given_up,
        tuple(found.unjustified),
        f"{found.given_up} were given up, each for a permanent reason",
        f"{len(found.unjustified)} of {found.given_up} were given up without a permanent reason",
    )


@check(
    "failures-notified",
    "the sender of what failed was told",
    relay_outcome="all",
    bounce_sent="all",
    queue_removed="all",
)
def _failures_notified(case: Case) -> CheckResult:
    """Fails when a recipient left a queue and nobody was told, or the wrong one was."""
    found = case.failures
    return CheckResult(
        found.left,
        tuple(found.untold),
        f"{found.left} left a queue, {found.given_up} of them failed and their senders were told",
        f"{len(found.untold)} left a queue untold, or were told to the wrong one",
    )


@check("silence-explained", "no reply went unread unless a fault kept it away", relay_tried="all")
def _silence_explained(case: Case) -> CheckResult:
    """Fails when a reply of a host that took the connection was never read, and none of the
    scenario's faults could have kept it away."""
    found = silences(case.trace)
    return CheckResult(
        found.tries,
        tuple(found.wrong),
        f"{found.tries} connections, and each reply was read unless a fault kept it away",
        f"{len(found.wrong)} replies were never read, and no fault kept them away",
        whole=False,
    )


@check("no-expired-answers", "no name server answered from a copy of a zone that had expired")
def _no_expired_answers(case: Case) -> CheckResult:
    """Fails when a secondary answered from its copy long after it last heard from the primary."""
    found = expired_answers(case.trace, case.evidence.topology)
    return CheckResult(
        found.answers,
        tuple(found.wrong),
        f"{found.answers} answers of secondaries, from copies that were still good",
        f"{len(found.wrong)} answers came from copies that had expired (RFC 1034 §4.3.5)",
        whole=False,
    )


@check("queues-empty", "no queue holds mail any more")
def _queues_empty(case: Case) -> CheckResult:
    """Fails when mail is left in a queue at the end."""
    held = [
        f"{node}: {entry.queue_id}, {entry.message}: "
        f"{'; '.join(r.delay_reason for r in entry.recipients if r.delay_reason) or 'waits'}"
        for node, entries in case.evidence.queues.items()
        for entry in entries
    ]
    looked_at = len(case.evidence.queues) if case.ledger.units else 0
    return CheckResult(
        looked_at,
        tuple(held),
        f"the queues of {', '.join(case.evidence.queues)} are empty",
        f"{len(held)} messages are still queued",
        whole=False,
    )


@check("all-delivered", "every message lies in its recipients' mailboxes")
def _all_delivered(case: Case) -> CheckResult:
    """Fails when a message is not in the mailbox of each of its recipients."""
    return submitted(case, "delivered", lambda unit: unit.deliveries > 0)


@check("nothing-bounced", "nothing was returned to its sender", bounce_sent="all")
def _nothing_bounced(case: Case) -> CheckResult:
    """Fails when a notification of failure was sent."""
    units = list(case.ledger.units.values())
    wrong = [f"{unit}: {unit.bounced[0]}" for unit in units if unit.bounced]
    good, bad = f"none of {len(units)} bounced", f"{len(wrong)} of {len(units)} bounced"
    return CheckResult(len(units), tuple(wrong), good, bad, whole=False)


@check("queued-at-backup", "mail had to wait at a backup", queue_deferred="backups")
def _queued_at_backup(case: Case) -> CheckResult:
    """Fails when no message had to wait at a backup, so the story did not happen."""
    domains = case.evidence.topology.mail_domains
    places = [(host, domain.domain) for domain in domains for host in domain.backups]
    return _queued_at(case, places, "a backup")


@check("queued-at-sender", "mail had to wait at the sender", queue_deferred="clients")
def _queued_at_sender(case: Case) -> CheckResult:
    """Fails when no message had to wait at the sender, so the story did not happen."""
    clients = case.evidence.topology.sender_domains
    return _queued_at(case, [(client, "") for client in clients], "the sender")


def _queued_at(case: Case, places: Sequence[tuple[str, str]], where: str) -> CheckResult:
    """Whether a message had to wait at a host, on its way to the domain that is named with it.
    Where an attempt is not told of before it has ended, it had, too, if it lay there as a fault was
    undone: the attempt may have been under way all the while."""
    sent = {one.message for one in case.evidence.submissions}
    failed, kept = set[str](), set[str]()
    for host, domain in places:
        failed |= deferred_at(case.trace, host, domain) & sent
        if not case.evidence.topology.tells(host, "attempt.started.at"):
            kept |= kept_until_healed(case.trace, host, domain) & sent
    hosts = ", ".join(dict.fromkeys(host for host, _ in places))
    never = f"no message was ever deferred at {hosts or where}"
    wrong = (never,) if sent and not failed | kept else ()
    good = f"mail had to wait at {where}: attempts failed there for {len(failed)} messages"
    if kept - failed:
        good += f", and {len(kept - failed)} more lay there when a fault was healed"
    return CheckResult(len(sent), wrong, good, f"nothing waited at {where}")


@check("faults-struck", "every fault inside a node met something to strike", fault_struck="all")
def _faults_struck(case: Case) -> CheckResult:
    """Fails when a fault inside a node was set and never met anything to strike."""
    injected = {
        event.body.id: event.body
        for event in case.trace.by_node.get(LAB, ())
        if isinstance(event.body, events.LabFault) and event.body.fault in STRIKING
    }
    struck = Counter(
        event.body.fault
        for stream in case.trace.by_node.values()
        for event in stream
        if isinstance(event.body, events.FaultStruck)
    )
    wrong = tuple(f"{f.id}: {f.fault} {f.node}" for name, f in injected.items() if not struck[name])
    tally = ", ".join(f"{name} {struck[name]} times" for name in injected)
    bad = f"{len(wrong)} of {len(injected)} faults never struck"
    return CheckResult(len(injected), wrong, f"faults struck: {tally}", bad)
