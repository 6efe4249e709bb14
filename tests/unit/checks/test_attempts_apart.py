"""One message that is tried at two domains side by side, or lies in one queue twice: each check
tells the attempts apart."""

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.checks.failures import failures
from mxlab.checks.judge import judge
from mxlab.checks.mx_order import faults_of, walks
from mxlab.checks.retry_spacing import spacing
from mxlab.checks.silence import silences
from mxlab.history.trace import LAB, Trace
from mxlab.model.finding import Verdict
from mxlab.model.scenario import Scenario
from mxlab.model.step import Send, Wait
from mxlab.model.topology import Exchange, MailDomain, Topology
from mxlab.runner.runner import run
from mxlab_services import events
from mxlab_services.events import Body, Event
from tests.support.history import ALICE, BOB, DIGEST, MESSAGE, History, mailbox

EVE = "eve@other.test"
FIRST, OTHER = "example.test", "other.test"
ACCEPTED = events.Accepted("C1", ALICE, [BOB, EVE], 100, DIGEST, "")
BEGUN = (
    events.AttemptStarted("C1", FIRST, [BOB], 1),
    events.AttemptStarted("C1", OTHER, [EVE], 1),
)


def tried(
    host: str, preference: int, domain: str, stage: str = "connect", reply: str = "4.4.1 refused"
) -> Body:
    name = f"{host}.example.test"
    return events.Tried("C1", name, "10.0.0.1", preference, stage, reply, 0.1, [], domain)


def told(*story: Body | tuple[float, Body]) -> Trace:
    """The client's events: at the time that stands with one, or else just after the one before."""
    trace, at = Trace(), 0.0
    for seq, entry in enumerate(story):
        at, body = entry if isinstance(entry, tuple) else (at, entry)
        trace.add(Event(at, seq, "client", MESSAGE, body))
    return trace


# --- mx-order ---


def routes() -> list[Body]:
    """mx1 before mx2 for the one domain, mx2 before mx1 for the other."""
    hosts = ["mx1.example.test", "mx2.example.test"]
    found: list[Body] = []
    for domain, order in ((FIRST, hosts), (OTHER, hosts[::-1])):
        answers = [f"{10 * rank} {host}" for rank, host in enumerate(order, 1)]
        found += [
            events.Lookup(domain, "MX", "ok", answers, False),
            events.Routed(domain, order, [], "by preference", "RFC 5321 §5.1"),
        ]
    return found


def wrong_order(*tries: Body) -> list[str]:
    trace = told(ACCEPTED, *BEGUN, *routes(), *tries)
    return [text for walk in walks(trace) for text in faults_of(walk)]


def test_a3_each_domain_has_its_own_order_of_the_same_exchanges() -> None:
    """A try was taken for one at the last domain whose route names the host."""
    tries = (
        tried("mx1", 10, FIRST), tried("mx2", 10, OTHER),
        tried("mx2", 20, FIRST), tried("mx1", 20, OTHER),
    )  # fmt: skip
    assert wrong_order(*tries) == []


def test_a3_the_wrong_order_at_one_of_two_domains_fails() -> None:
    (wrong,) = wrong_order(tried("mx1", 10, FIRST), tried("mx1", 20, OTHER))
    assert "to other.test: tried mx1.example.test where its route says mx2" in wrong


def test_a3_a_recording_that_does_not_say_at_which_domain_is_read_as_before() -> None:
    assert wrong_order(tried("mx2", 10, ""), tried("mx1", 20, "")) == []


def test_a3_a_message_that_lies_in_a_queue_twice_goes_either_way_among_equals() -> None:
    """The route that was found last was taken for that of both."""
    hosts = ["mx1.example.test", "mx2.example.test"]
    listed = events.Lookup(FIRST, "MX", "ok", [f"10 {host}" for host in hosts], False)
    one, other = (
        events.Routed(FIRST, order, [], "", "RFC 5321 §5.1") for order in (hosts, hosts[::-1])
    )
    again = events.AttemptStarted("C2", FIRST, [BOB], 1)
    at_two = events.Tried("C2", hosts[1], "10.0.0.2", 10, "done", "250 Ok", 0.1, [], FIRST)
    begun = (ACCEPTED, BEGUN[0], again, listed, one, other)

    def wrong(*tries: Body) -> list[str]:
        return [text for walk in walks(told(*begun, *tries)) for text in faults_of(walk)]

    assert wrong(tried("mx1", 10, FIRST), at_two) == []
    third = events.Tried("C2", "mx3.example.test", "10.0.0.3", 10, "connect", "", 0.1, [], FIRST)
    assert len(wrong(tried("mx1", 10, FIRST), at_two, third)) == 1


def test_every_try_of_a_real_run_says_at_which_domain() -> None:
    hosts = (Exchange("mx1", 10), Exchange("mx2", 20))
    turned = MailDomain(OTHER, (Exchange("mx1", 20), Exchange("mx2", 10)))
    scenario = Scenario(
        title="two",
        topology=Topology(mx=hosts, domains=(turned,)),
        steps=(Send("b", ALICE, (BOB, EVE)), Wait(10.0)),
        expect=("mx-order",),
    )
    result = simulate(lambda: run(scenario, SimBackend(), lab="two", run_id="two"))
    tries = {
        (event.body.domain, event.body.host.partition(".")[0])
        for event in result.trace.by_node["client"]
        if isinstance(event.body, events.Tried)
    }
    assert tries == {(FIRST, "mx1"), (OTHER, "mx2")}
    assert result.verdict is Verdict.PASS


# --- the others ---


def test_c1_no_message_is_tried_at_the_one_domain_where_no_host_answered() -> None:
    """The other domain's answer was taken for the first one's."""
    first, second = (
        events.Deferred("C1", [BOB], 1, 301.0, "refused"),
        events.Deferred("C1", [EVE], 1, 301.0, "451 later"),
    )
    story = (
        ACCEPTED, *BEGUN, (1.0, tried("mx1", 10, FIRST)),
        tried("mx2", 10, OTHER, "rcpt", "451 later"), first, second,
    )  # fmt: skip
    postfix = Topology(schedule="postfix")
    at_other = (2.0, events.AttemptStarted("C2", OTHER, [EVE], 1))
    at_first = (2.0, events.AttemptStarted("C2", FIRST, [BOB], 1))
    assert spacing(told(*story, at_other), postfix).wrong == []
    (wrong,) = spacing(told(*story, at_first), postfix).wrong
    assert "although example.test had not answered" in wrong


def test_d_what_dns_does_not_tell_of_one_domain_says_nothing_of_another() -> None:
    """A failure that is certain was called unjustified, since the other's lookup had failed."""
    unsure = events.Lookup(FIRST, "MX", "servfail", [], False)
    gone = events.Lookup(OTHER, "MX", "nxdomain", [], False)
    failed = events.Outcome("C1", EVE, "failed", "550 5.1.2 no such domain")
    bounce = events.Bounced("C2", MESSAGE, "C1", ALICE, [EVE], "failed")
    rest = (failed, bounce)
    assert failures(told(ACCEPTED, *BEGUN, unsure, gone, *rest), Topology()).unjustified == []
    elsewhere = events.Lookup(OTHER, "MX", "servfail", [], False)
    (wrong,) = failures(told(ACCEPTED, *BEGUN, gone, elsewhere, *rest), Topology()).unjustified
    assert "other.test had only failed for now" in wrong


def test_d_the_start_at_another_domain_makes_no_lookup_forgotten() -> None:
    unsure = events.Lookup(OTHER, "MX", "servfail", [], False)
    failed = events.Outcome("C1", EVE, "failed", "550 5.1.2 no such domain")
    bounce = events.Bounced("C2", MESSAGE, "C1", ALICE, [EVE], "failed")
    story = (ACCEPTED, BEGUN[1], unsure, BEGUN[0], failed, bounce)
    assert len(failures(told(*story), Topology()).unjustified) == 1


def test_a_fault_since_an_attempt_began_excuses_it_whatever_began_after() -> None:
    cut = tried("mx1", 10, FIRST, "dot", "4.4.2 lost connection")
    trace = told(ACCEPTED, BEGUN[0], (500.0, BEGUN[1]), cut)
    for seq, (at, body) in enumerate(
        ((10.0, events.LabFault("f1", "pause", "mx1")), (20.0, events.LabHealed("f1")))
    ):
        trace.add(Event(at, seq, LAB, None, body))
    assert silences(trace).wrong == []


def test_a_host_that_died_in_one_of_two_attempts_may_have_handed_that_copy_on() -> None:
    """A deferral at the other domain made the attempt seem over, and the copy unexplained."""
    history = History()
    history.event("client", events.NodeReady("client", []), None)
    for body in (ACCEPTED, *BEGUN, events.Deferred("C1", [BOB], 1, 301.0, "refused")):
        history.event("client", body)
    history.mailboxes["mx1"] += [mailbox(address=EVE)] * 2
    (found,) = judge(["duplicates-explained"], history.trace(), history.evidence())
    assert found.verdict is Verdict.FAIL
    history.event("client", events.NodeReady("client", []), None)  # it died, and is there again
    (found,) = judge(["duplicates-explained"], history.trace(), history.evidence())
    assert found.verdict is Verdict.PASS
    history.mailboxes["mx1"] += [mailbox()] * 2  # but not this one
    (found,) = judge(["duplicates-explained"], history.trace(), history.evidence())
    assert found.verdict is Verdict.FAIL
