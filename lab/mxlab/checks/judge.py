"""The checks that a scenario may expect: trace and evidence -> findings. Pure.

A check with nothing to look at says UNKNOWN, and so does one that crashes, or that would pass on
evidence of which a part is missing. A failure that was seen stays a failure.
"""

import traceback
from collections import Counter
from collections.abc import Iterable, Mapping

from mxlab.checks import mx_order as order
from mxlab.checks.failures import failures
from mxlab.checks.final_state import in_the_end, submitted
from mxlab.checks.result import Case, Check, Opinion
from mxlab.checks.retry_spacing import spacing
from mxlab.checks.silence import silences
from mxlab.history.evidence import Evidence
from mxlab.history.ledger import make_ledger
from mxlab.history.trace import LAB, Trace
from mxlab.model.condition import AnyCondition
from mxlab.model.finding import Finding, Verdict
from mxlab.model.mechanism import STRIKING
from mxlab_services import events

SHOWN = 20  # details of one finding, at most


def judge(
    expect: Iterable[str | AnyCondition],
    trace: Trace,
    evidence: Evidence,
    checks: Mapping[str, Check] | None = None,
    *,
    idle_passes: bool = False,
) -> list[Finding]:
    """One finding for each expectation. With `idle_passes` a check that had nothing to look at, in
    evidence that is whole, passes."""
    known = CHECKS if checks is None else checks
    try:
        case = Case(trace, evidence, make_ledger(trace, evidence))
    except Exception as error:  # noqa: BLE001 - a bug in judging must never pass a run
        return [_crashed(str(item), error) for item in expect]
    findings = []
    for item in expect:
        name = item if isinstance(item, str) else str(item)
        try:
            check = known[item] if isinstance(item, str) else in_the_end(item)
            findings.append(_finding(name, check(case), case.ledger.gaps, idle_passes))
        except Exception as error:  # noqa: BLE001 - likewise
            findings.append(_crashed(name, error))
    return findings


def _finding(name: str, opinion: Opinion, gaps: tuple[str, ...], idle_passes: bool) -> Finding:
    if opinion.wrong:
        more = len(opinion.wrong) - SHOWN
        tail = (f"and {more} more",) if more > 0 else ()
        # Something was not found: with a gap in the evidence it may have been there.
        verdict = Verdict.UNKNOWN if gaps and opinion.whole else Verdict.FAIL
        shown = (*opinion.wrong[:SHOWN], *tail, *(gaps if verdict is Verdict.UNKNOWN else ()))
        return Finding(name, verdict, opinion.bad, shown)
    if not opinion.looked_at:
        verdict = Verdict.PASS if idle_passes and not gaps else Verdict.UNKNOWN
        return Finding(name, verdict, "there was nothing to look at")
    if gaps:
        return Finding(name, Verdict.UNKNOWN, "the evidence has gaps", gaps)
    return Finding(name, Verdict.PASS, opinion.good)


def _crashed(name: str, error: Exception) -> Finding:
    lines = traceback.format_exception(error)
    text = f"the check itself failed: {type(error).__name__}: {error}"
    return Finding(name, Verdict.UNKNOWN, text, tuple("".join(lines).splitlines()))


def _nothing_lost(case: Case) -> Opinion:
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
    return Opinion(
        len(owed),
        tuple(lost),
        f"all {len(owed)} that were taken are accounted for: {tally}",
        f"{len(lost)} of {len(owed)} are lost: taken with 250, and nowhere to be found",
    )


def _nothing_forged(case: Case) -> Opinion:
    entries = sum(len(found) for found in case.evidence.mailboxes.values())
    forged = case.ledger.forged
    return Opinion(
        entries,
        forged,
        f"all {entries} messages in mailboxes were sent to just that recipient",
        f"{len(forged)} of {entries} messages in mailboxes were never sent there",
    )


def _nothing_altered(case: Case) -> Opinion:
    altered = [f"{a.message} at {a.node}, {a.where}" for a in case.ledger.altered]
    return Opinion(
        case.ledger.compared,
        tuple(altered),
        f"{case.ledger.compared} digests are what the senders gave",
        f"{len(altered)} of {case.ledger.compared} digests are not what the senders gave",
        whole=False,
    )


def _duplicates_explained(case: Case) -> Opinion:
    delivered = [unit for unit in case.ledger.units.values() if unit.copies]
    extra = sum(len(unit.copies) - 1 for unit in delivered)
    wrong = [
        f"{unit}: {len(unit.copies)} copies, {len(unit.unknowns)} lost acknowledgements"
        for unit in delivered
        if len(unit.copies) - 1 > len(unit.unknowns)
    ]
    reasons = [unit.unknowns[0] for unit in delivered if len(unit.copies) > 1 and unit.unknowns]
    explained = f"{extra} extra copies, each explained: {'; '.join(reasons)}"
    return Opinion(
        len(delivered),
        tuple(wrong),
        explained if extra else f"{len(delivered)} delivered, each once",
        f"{len(wrong)} have copies that no lost acknowledgement explains",
    )


def _mx_order(case: Case) -> Opinion:
    walks = order.walks(case.trace)
    wrong = [text for walk in walks for text in order.faults_of(walk)]
    return Opinion(
        len(walks),
        tuple(wrong),
        f"{len(walks)} attempts tried the hosts in the order of their preference",
        f"{len(wrong)} attempts did not try the hosts in order (RFC 5321 §5.1)",
        whole=True,
    )


def _retry_spacing(case: Case) -> Opinion:
    found = spacing(case.trace, case.evidence.topology.schedule)
    return Opinion(
        found.waits,
        tuple(found.wrong),
        f"{found.waits} retries kept the times of the schedule",
        f"{len(found.wrong)} times a retry came too early (RFC 5321 §4.5.4.1)",
        whole=False,
    )


def _bounces_justified(case: Case) -> Opinion:
    found = failures(case.trace, case.evidence.topology.schedule)
    return Opinion(
        found.given_up,
        tuple(found.unjustified),
        f"{found.given_up} were given up, each for a permanent reason",
        f"{len(found.unjustified)} of {found.given_up} were given up without a permanent reason",
    )


def _failures_notified(case: Case) -> Opinion:
    found = failures(case.trace, case.evidence.topology.schedule)
    return Opinion(
        found.left,
        tuple(found.untold),
        f"{found.left} left a queue, {found.given_up} of them failed and their senders were told",
        f"{len(found.untold)} left a queue untold, or were told to the wrong one",
    )


def _silence_explained(case: Case) -> Opinion:
    found = silences(case.trace)
    return Opinion(
        found.tries,
        tuple(found.wrong),
        f"{found.tries} connections, and each reply was read unless a fault kept it away",
        f"{len(found.wrong)} replies were never read, and no fault kept them away",
        whole=False,
    )


def _queues_empty(case: Case) -> Opinion:
    held = [
        f"{node}: {entry.queue_id}, {entry.message}: "
        f"{'; '.join(r.delay_reason for r in entry.recipients if r.delay_reason) or 'waits'}"
        for node, entries in case.evidence.queues.items()
        for entry in entries
    ]
    looked_at = len(case.evidence.queues) if case.ledger.units else 0
    return Opinion(
        looked_at,
        tuple(held),
        f"the queues of {', '.join(case.evidence.queues)} are empty",
        f"{len(held)} messages are still queued",
        whole=False,
    )


def _all_delivered(case: Case) -> Opinion:
    return submitted(case, "delivered", lambda unit: bool(unit.copies))


def _nothing_bounced(case: Case) -> Opinion:
    units = list(case.ledger.units.values())
    wrong = [f"{unit}: {unit.bounced[0]}" for unit in units if unit.bounced]
    good, bad = f"none of {len(units)} bounced", f"{len(wrong)} of {len(units)} bounced"
    return Opinion(len(units), tuple(wrong), good, bad, whole=False)


def _queued_at_backup(case: Case) -> Opinion:
    """Some mail of the client's was taken by a backup that had no way to hand it on at once."""
    return _queued_at(case, case.evidence.topology.backups, "a backup")


def _queued_at_sender(case: Case) -> Opinion:
    return _queued_at(case, (case.evidence.topology.client,), "the sender")


def _queued_at(case: Case, hosts: tuple[str, ...], where: str) -> Opinion:
    submitted = {sent.message for sent in case.evidence.submissions}
    waited = {
        event.message
        for host in hosts
        for event in case.trace.by_node.get(host, ())
        if isinstance(event.body, events.Deferred) and event.message in submitted
    }
    never = f"no message was ever deferred at {', '.join(hosts) or where}"
    wrong = (never,) if submitted and not waited else ()
    good = f"mail had to wait at {where}: attempts failed there for {len(waited)} messages"
    return Opinion(len(submitted), wrong, good, f"nothing waited at {where}")


def _faults_struck(case: Case) -> Opinion:
    """What was set inside a node met something to strike."""
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
    return Opinion(len(injected), wrong, f"faults struck: {tally}", bad)


CHECKS: Mapping[str, Check] = {
    "nothing-lost": _nothing_lost,
    "nothing-forged": _nothing_forged,
    "nothing-altered": _nothing_altered,
    "duplicates-explained": _duplicates_explained,
    "mx-order": _mx_order,
    "retry-spacing": _retry_spacing,
    "bounces-justified": _bounces_justified,
    "failures-notified": _failures_notified,
    "silence-explained": _silence_explained,
    "queues-empty": _queues_empty,
    "all-delivered": _all_delivered,
    "nothing-bounced": _nothing_bounced,
    "queued-at-backup": _queued_at_backup,
    "queued-at-sender": _queued_at_sender,
    "faults-struck": _faults_struck,
}
