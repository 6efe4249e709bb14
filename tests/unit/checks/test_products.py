"""What products tell less of than our own servers: no check passes on it, and none fails for it."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

import mxlab
from mxlab.checks.conditions import rule_of
from mxlab.checks.judge import judge
from mxlab.checks.registry import CHECKS
from mxlab.history.ledger import make_ledger
from mxlab.history.trace import Trace
from mxlab.model import software as model
from mxlab.model.condition import Notified, Replied, Retries
from mxlab.model.finding import Verdict
from mxlab.model.software import SOFTWARE, SoftwareEntry
from mxlab.model.topology import Exchange, Topology
from mxlab.plan.software import with_software
from mxlab.runner.result import RunResult
from mxlab.scenario.load import load
from mxlab_services import events
from mxlab_services.config import Software
from mxlab_services.events import KINDS, Body, Event, Source
from tests.support.history import (
    ALICE,
    BOB,
    MESSAGE,
    History,
    accepted,
    mailbox,
    submitted,
    through_both,
)
from tests.support.products import as_products, verdicts

FAIL, PASS, UNKNOWN = Verdict.FAIL, Verdict.PASS, Verdict.UNKNOWN
ALL = {"mx1": "postfix", "mx2": "exim", "client": "opensmtpd"}


def played(name: str, software: dict[str, str] | None = None) -> RunResult:
    scenario = load(name)
    whom = software or dict.fromkeys(scenario.topology.software, "postfix")
    return as_products(mxlab.run(scenario), whom)


def changed(result: RunResult, change: Callable[[Event], Event | None]) -> RunResult:
    """The same with each event changed, or left out; their numbers stay whole."""
    trace, numbers = Trace(), dict[str, int]()
    for event in result.trace.events():
        new = change(event)
        if new is None:
            continue
        fresh = isinstance(new.body, events.NodeReady)
        numbers[new.node] = 0 if fresh else numbers.get(new.node, -1) + 1
        trace.add(msgspec.structs.replace(new, seq=numbers[new.node]))
    return replace(result, trace=trace)


@pytest.fixture
def tells_less(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a product tell even less."""

    def less(name: Software, **untold: str) -> None:
        entry = SOFTWARE[name]
        kinds = {kind.replace("_", "."): words for kind, words in untold.items()}
        fewer = SoftwareEntry(entry.title, {**entry.untold, **kinds})
        monkeypatch.setitem(model.SOFTWARE, name, fewer)

    return less


# --- the library over products --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "primary-outage", "backup-crash", "lost-ack", "greylisting", "swapped-preferences",
        "servfail-nxdomain", "dns-down", "bounce-undeliverable", "nobody-to-tell", "null-mx",
        "ipv6-only-primary", "primary-without-address", "mx-to-cname", "stampede", "four-or-five",
        "alias-elsewhere",
    ],
)  # fmt: skip
def test_a_scenario_that_passes_does_so_by_what_products_tell(name: str) -> None:
    assert set(verdicts(played(name)).values()) == {PASS}


def test_what_is_untold_is_a_kind_of_events_or_a_field_of_one() -> None:
    for entry in SOFTWARE.values():
        for what in entry.untold:
            kind = what if what in KINDS else what.rpartition(".")[0]
            fields = {field.name for field in msgspec.structs.fields(KINDS[kind])}
            assert kind == what or what.rpartition(".")[2] in {*fields, "at"}


def test_every_kind_that_a_check_needs_exists() -> None:
    assert {kind for check in CHECKS.values() for kind in check.needs} <= set(KINDS)


def at_a_backup(*, healed: bool, software: dict[str, str]) -> RunResult:
    """An outage in which the backup's first attempt succeeds after the fault, or without one."""
    result = mxlab.run(load("primary-outage"))

    def none_failed(event: Event) -> Event | None:
        body = event.body
        untold = isinstance(body, events.Deferred) and event.node == "mx2"
        return None if untold or (isinstance(body, events.LabHealed) and not healed) else event

    return as_products(changed(result, none_failed), software)


def test_mail_that_lay_at_a_products_backup_as_the_fault_was_healed_had_to_wait() -> None:
    """OpenSMTPD's attempt may be under way all the while."""
    backup: dict[str, str] = {"mx2": "opensmtpd"}
    result = at_a_backup(healed=True, software=backup)
    (finding,) = judge(("queued-at-backup",), result.trace, result.evidence)
    assert finding.verdict is PASS
    assert "lay there when a fault was healed" in finding.text
    result = at_a_backup(healed=False, software=backup)
    assert verdicts(result, "queued-at-backup") == {"queued-at-backup": FAIL}
    result = at_a_backup(healed=True, software={})
    assert verdicts(result, "queued-at-backup") == {"queued-at-backup": FAIL}


def test_what_only_a_program_says_is_heard_by_no_relay() -> None:
    result = played("submission-needs-auth", {"mx2": "exim"})
    asked = Replied("client", 235, verb="AUTH", batch="known", count=3)
    (finding,) = judge((asked,), result.trace, result.evidence)
    assert finding.verdict is PASS


# --- sabotage: what is wrong is still seen --------------------------------------------------------


def test_a_better_host_that_is_never_tried_is_seen() -> None:
    def none_at_mx1(event: Event) -> Event | None:
        body = event.body
        skipped = isinstance(body, events.Tried) and body.host.startswith("mx1")
        return None if event.node == "client" and skipped else event

    result = changed(played("primary-outage", {"client": "postfix"}), none_at_mx1)
    assert verdicts(result, "mx-order") == {"mx-order": FAIL}


def test_a_host_that_calls_itself_otherwise_is_known_by_its_address() -> None:
    """The exchange may have a name in the zone that is not its own, and move."""
    result = played("primary-moves", {"client": "postfix"})
    (address,) = {
        event.body.address
        for event in result.trace.by_node["client"]
        if isinstance(event.body, events.Tried) and event.body.stage == "connect"
    }

    def own_name(event: Event) -> Event:
        body = event.body
        if event.node != "client" or not isinstance(body, events.Tried):
            return event
        name = "mx1.example.test" if body.address == address else "mx2.example.test"
        return msgspec.structs.replace(event, body=msgspec.structs.replace(body, host=name))

    assert verdicts(changed(result, own_name), "mx-order") == {"mx-order": PASS}


def test_hosts_in_the_wrong_order_are_seen() -> None:
    def turned(event: Event) -> Event:
        body = event.body
        if not isinstance(body, events.Tried):
            return event
        other = {"mx1": "mx2", "mx2": "mx1"}.get(body.host[:3], "")
        address = {"10.53.25.3": "10.53.25.4", "10.53.25.4": "10.53.25.3"}.get(body.address, "")
        new = msgspec.structs.replace(body, host=other + body.host[3:], address=address)
        return msgspec.structs.replace(event, body=new)

    result = changed(played("primary-outage", {"client": "postfix"}), turned)
    assert verdicts(result, "mx-order") == {"mx-order": FAIL}


def test_a_host_that_was_silent_before_may_be_passed_over() -> None:
    seen: set[str] = set()

    def once(event: Event) -> Event | None:
        body = event.body
        if isinstance(body, events.Tried) and body.stage == "connect" and event.node == "client":
            again = body.host in seen
            seen.add(body.host)
            return None if again else event
        return event

    result = changed(played("primary-outage", {"client": "postfix"}), once)
    assert seen
    assert verdicts(result, "mx-order") == {"mx-order": PASS}


def test_retries_without_a_pause_are_seen() -> None:
    begin: dict[str, float] = {}

    def hurried(event: Event) -> Event:
        first = begin.setdefault(event.node, event.at)
        return msgspec.structs.replace(event, at=first + (event.at - first) / 1000)

    patient = played("five-day-outage", {"client": "postfix", "mx1": "postfix"})
    assert verdicts(patient, "retry-spacing") == {"retry-spacing": PASS}
    assert verdicts(changed(patient, hurried), "retry-spacing") == {"retry-spacing": FAIL}


@pytest.mark.parametrize(("wait", "verdict"), [(20.0, PASS), (5.0, FAIL)])
def test_a_wait_that_counts_from_the_message_is_shorter_after_an_attempt_that_took_long(
    wait: float, verdict: Verdict
) -> None:
    """OpenSMTPD tries at 400 s x n² after the message came, however long an attempt took."""
    history = of_client()
    backup = Exchange("mx2", 20, software="opensmtpd", schedule="opensmtpd")
    history.topology = Topology(mx=(Exchange("mx1", 10), backup))
    trace = history.trace()
    tried = events.Tried(
        "B1", "mx1.example.test", "10.0.0.1", -1, "dot", "?", 1.0, [], "example.test"
    )
    later = 380.0 + wait
    told: list[tuple[float, Body]] = [
        (0.0, events.NodeReady("mx", [])), (0.0, accepted("B1")),
        (380.0, events.AttemptStarted("B1", "example.test", [BOB], 1)), (380.0, tried),
        (380.0, events.Deferred("B1", [BOB], 1, 0.0, "timed out")),
        (later, events.AttemptStarted("B1", "example.test", [BOB], 2)), (later, tried),
    ]  # fmt: skip
    for seq, (at, body) in enumerate(told):
        trace.add(Event(1000.0 + at, seq, "mx2", MESSAGE, body, "log"))
    (finding,) = judge(("retry-spacing",), trace, history.evidence())
    assert finding.verdict is verdict


def test_a_bounce_while_the_dns_fails_for_now_is_seen() -> None:
    history = of_client()
    history.event("dns", events.DnsQuery("example.test.", "MX", "SERVFAIL", [], "udp", "10.0.0.9"))
    gives_up(history)
    assert judged(history, "bounces-justified") == FAIL
    history = of_client()
    history.event("dns", events.DnsQuery("example.test.", "MX", "SERVFAIL", [], "udp", "10.0.0.9"))
    history.event("dns", events.DnsQuery("example.test.", "MX", "NXDOMAIN", [], "udp", "10.0.0.9"))
    gives_up(history)
    assert judged(history, "bounces-justified") == PASS


def test_a_digest_that_is_told_and_differs_is_seen_and_one_that_is_not_is_none() -> None:
    history = of_client()
    history.event("mx1", accepted("A1", "10.0.0.9", digest=""))
    history.mailboxes["mx1"].append(mailbox(digest=""))
    assert judged(history, "nothing-altered") == PASS
    ledger = make_ledger(history.trace(), history.evidence())
    assert (ledger.compared, ledger.uncompared) == (2, 2)
    history.mailboxes["mx1"].append(mailbox(digest="other"))
    assert judged(history, "nothing-altered") == FAIL


def test_the_origins_digest_is_the_first_that_is_told() -> None:
    history = submitted()
    history.submissions.clear()
    history.stream = [one for one in history.stream if not isinstance(one[2], events.Accepted)]
    history.event("client", accepted("C1", digest=""))
    history.event("mx1", accepted("A1", "10.0.0.9", digest="d1"))
    history.mailboxes["mx1"].append(mailbox(digest="d2"))
    assert judged(history, "nothing-altered") == FAIL


# --- what is not told -----------------------------------------------------------------------------


def test_a_check_that_needs_what_is_not_told_says_so(tells_less: Callable[..., None]) -> None:
    result = played("primary-outage", ALL)
    assert verdicts(result, "queued-at-backup") == {"queued-at-backup": PASS}
    tells_less("exim", queue_deferred="that mail waits")
    (finding,) = judge(("queued-at-backup",), result.trace, result.evidence)
    assert (finding.verdict, finding.text) == (UNKNOWN, "it rests on what is not told")
    assert finding.details == ("mx2 is Exim, which does not tell that mail waits",)


def test_a_failure_that_was_seen_stays_one(tells_less: Callable[..., None]) -> None:
    history = of_client()
    history.event("client", events.Bounced("N", MESSAGE, "C1", ALICE, [BOB], "failed"), "<n@x>")
    tells_less("postfix", bounce_sent="whom it notifies")
    assert judged(history, "nothing-bounced") == FAIL


def test_what_was_not_found_may_be_what_is_not_told(tells_less: Callable[..., None]) -> None:
    history = of_client()
    history.event("client", events.Removed("C1"))
    assert judged(history, "nothing-lost") == FAIL
    tells_less("postfix", bounce_sent="whom it notifies")
    assert judged(history, "nothing-lost") == UNKNOWN


def test_a_host_that_has_no_part_in_a_check_may_be_silent(tells_less: Callable[..., None]) -> None:
    tells_less("postfix", queue_deferred="that mail waits")
    result = played("primary-outage", {"mx1": "postfix"})
    assert verdicts(result, "queued-at-backup") == {"queued-at-backup": PASS}


def test_a_condition_on_a_conversation_that_is_not_told_is_unknown() -> None:
    result = played("primary-outage", {"client": "postfix"})
    taken = Replied("mx2", "2xx", verb="RCPT", by="client")
    (finding,) = judge((taken,), result.trace, result.evidence)
    assert finding.verdict == UNKNOWN
    assert "does not tell its conversations with other hosts" in finding.details[-1]
    dot = Replied("mx2", "2xx", verb="DOT", by="client")
    assert verdicts_of(result, dot) == PASS  # the last reply is told


def test_a_refusal_is_known_from_the_log_and_its_verb_from_the_server() -> None:
    result = played("four-or-five", {"client": "postfix"})
    refused = Replied("mx1", "5xx", verb="RCPT", batch="returns", by="client")
    assert verdicts_of(result, refused) == PASS
    elsewhere = Replied("mx1", "5xx", verb="MAIL", batch="returns", by="client")
    assert verdicts_of(result, elsewhere) == FAIL


def test_retries_count_from_when_they_are_told() -> None:
    assert verdicts_of(played("stampede"), Retries("wave", count=25, seconds=60)) == PASS


# --- death ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False], ids=["taken before", "never taken before"])
def test_a_copy_that_a_dying_product_handed_on_is_explained_by_the_other_end(
    before: bool,
) -> None:
    history = submitted()
    history.topology = with_software(Topology(), {"client": "postfix"})
    history.event("client", events.NodeReady("client", [], 1, ["10.0.0.9"]), None)
    if before:
        history.event("mx1", accepted("A1", "10.0.0.9"))
    history.event("client", events.NodeReady("client", [], 1, ["10.0.0.9"]), None)
    for number in (2,) if before else (1, 2):
        history.event("mx1", accepted(f"A{number}", "10.0.0.9"))
    history.event("client", events.Outcome("C1", BOB, "delivered", "250 Ok", "mx1.example.test"))
    history.event("client", events.Removed("C1"))
    history.mailboxes["mx1"] += [mailbox(), mailbox()]
    assert judged(history, "duplicates-explained") == (PASS if before else FAIL)


def test_a_copy_that_a_dying_product_put_in_a_mailbox_untold_is_explained() -> None:
    history = submitted()
    history.topology = with_software(Topology(), {"mx1": "postfix"})
    history.event("mx1", accepted("A1", "10.0.0.9"))
    history.event("mx1", events.NodeReady("mx", [], 1), None)
    history.event("mx1", events.MailboxDelivered("A1", BOB, "second", "d1"))
    history.event("mx1", events.Removed("A1"))
    first = msgspec.structs.replace(mailbox(), name="first")
    history.mailboxes["mx1"] += [first, msgspec.structs.replace(mailbox(), name="second")]
    assert judged(history, "duplicates-explained") == PASS
    third = msgspec.structs.replace(mailbox(), name="second")
    history.mailboxes["mx1"].append(third)
    assert judged(history, "duplicates-explained") == FAIL


@pytest.mark.parametrize("source", ["log", "queue"])
def test_what_left_unseen_is_no_failure_that_nobody_was_told_of(source: Source) -> None:
    history = of_client()
    trace = history.trace()
    number = trace.emitted("client")
    trace.add(Event(99.0, number, "client", MESSAGE, events.Removed("C1"), source))
    (finding,) = judge(("failures-notified",), trace, history.evidence())
    assert finding.verdict == (FAIL if source == "log" else UNKNOWN)


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ([("MX", "NXDOMAIN", "")], PASS),
        ([("MX", "NOERROR", ""), ("A", "NXDOMAIN", "")], PASS),
        ([("MX", "NOERROR", ""), ("A", "NOERROR", "example.test. 60 IN A 10.0.0.1")], FAIL),
        ([("MX", "NOERROR", "example.test. 60 IN MX 10 client.client.test.")], PASS),
        ([("MX", "SERVFAIL", "")], FAIL),
        ([], FAIL),
    ],
)
def test_what_a_product_gives_no_code_to_is_held_against_the_dns(
    answers: list[tuple[str, str, str]], verdict: Verdict
) -> None:
    history = of_client()
    for kind, rcode, text in answers:
        told = [text] if text else []
        query = events.DnsQuery("example.test.", kind, rcode, told, "udp", "10.0.0.9")
        history.event("dns", query)
    gives_up(history, "no mail exchanger can be reached")
    assert judged(history, "bounces-justified") == verdict


def test_a_log_may_tell_of_the_notification_after_the_end_of_what_it_is_about() -> None:
    history = of_client()
    said = events.Outcome("C1", BOB, "failed", "550 5.1.1 no such user", "mx1.example.test")
    history.event("client", said)
    history.event("client", events.Removed("C1"))
    assert judged(history, "failures-notified") == FAIL
    history.event("client", events.Bounced("N", MESSAGE, "C1", ALICE, [BOB], "failed"), "<n@x>")
    assert logged(history, "failures-notified") == PASS
    assert judged(history, "failures-notified") == FAIL  # our own server tells before


@pytest.mark.parametrize("sender", ["", ALICE])
def test_who_has_no_reverse_path_is_told_of_nothing(sender: str) -> None:
    history = History(topology=with_software(Topology(), {"client": "postfix"}))
    history.event("client", events.NodeReady("client", []), None)
    history.event("client", events.Accepted("C1", sender, [BOB], 100, "d1", ""))
    said = events.Outcome("C1", BOB, "failed", "550 5.1.1 no such user", "mx1.example.test")
    history.event("client", said)
    history.event("client", events.Removed("C1"))
    wanted = FAIL if sender else PASS
    assert judged(history, "failures-notified") == judged(history, "nothing-lost") == wanted


# --- inner ----------------------------------------------------------------------------------------


def of_client() -> History:
    """One message at a client that is Postfix and whose address is known."""
    history = submitted()
    history.topology = with_software(Topology(), {"client": "postfix"})
    history.event("client", events.NodeReady("client", [], 1, ["10.0.0.9"]), None)
    history.event("dns", events.NodeReady("dns", []), None)
    history.event("client", accepted("C1"))
    return history


def gives_up(history: History, why: str = "5.4.4 name service error") -> None:
    event: Callable[[str, Body], None] = history.event
    event("client", events.AttemptStarted("C1", "example.test", [BOB], 1))
    event("client", events.Outcome("C1", BOB, "failed", why))
    history.event("client", events.Bounced("N", MESSAGE, "C1", ALICE, [BOB], "failed"), "<n@x>")
    event("client", events.Removed("C1"))


def judged(history: History, check: str) -> Verdict:
    (finding,) = judge((check,), history.trace(), history.evidence())
    return finding.verdict


def logged(history: History, check: str) -> Verdict:
    """The same, where all is told from a log."""
    trace = Trace()
    for event in history.trace().events():
        trace.add(msgspec.structs.replace(event, source="log"))
    (finding,) = judge((check,), trace, history.evidence())
    return finding.verdict


def verdicts_of(result: RunResult, condition: Replied | Retries) -> Verdict:
    (finding,) = judge((condition,), result.trace, result.evidence)
    return finding.verdict


def test_a_notification_that_was_gone_before_it_was_read_has_its_name_from_who_took_it() -> None:
    """OpenSMTPD's log has no Message-ID."""
    gone, known = "<cafe0001@no-message-id>", "<notice@mx2.example.test>"
    history = through_both()
    history.topology = Topology(mx=(Exchange("mx1", 10), Exchange("mx2", 20, software="opensmtpd")))
    event = history.event
    event("mx2", events.Accepted("cafe0001", "", [ALICE], 100, "", ""), gone)
    event("mx2", events.Bounced("cafe0001", MESSAGE, "B1", ALICE, [BOB], "delayed"), gone)
    told = Notified(ALICE, kind="delayed", batch="batch")
    assert judge((told,), history.trace(), history.evidence())[0].verdict is FAIL
    reply = "250 2.0.0 Ok: queued as C2"
    sent = events.Outcome("cafe0001", ALICE, "delivered", reply, "client.client.test", "C2")
    event("mx2", sent, gone)
    event("mx2", events.Removed("cafe0001"), gone)
    event("client", events.Accepted("C2", "", [ALICE], 100, "d9", "10.0.0.8"), known)
    event("client", events.MailboxDelivered("C2", ALICE, "file", "d9"), known)
    history.mailboxes["client"].append(mailbox(known, ALICE, "d9"))
    found = judge((told, "nothing-lost", "nothing-forged"), history.trace(), history.evidence())
    assert [one.verdict for one in found] == [PASS, PASS, PASS], found
    trace = history.trace()
    trace.add_batch("batch", [(MESSAGE, [BOB])])
    assert rule_of(told).seems(trace)
