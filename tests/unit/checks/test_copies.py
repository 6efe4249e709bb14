"""no-expired-answers: a secondary's answers against the last word of its zone's primary."""

import pytest

from mxlab.checks.judge import judge
from mxlab.history.evidence import Evidence
from mxlab.history.trace import Trace
from mxlab.model.finding import Finding, Verdict
from mxlab.model.topology import Topology
from mxlab_services import events
from mxlab_services.events import Body, Event

PAIR = Topology(dns=("ns1", "ns2"))
SOA = "example.test. 60 IN SOA ns1.example.test. hostmaster.example.test. 1 20 5 60 60"
STRUCK = events.FaultStruck("f1", "dns-nxdomain", "dns", "10.53.25.6")


def ready(address: str) -> Body:
    return events.NodeReady("dns", [f"udp:{address}:53", f"tcp:{address}:53"])


def answer(rcode: str = "NOERROR", kind: str = "MX", name: str = "Example.TEST.") -> Body:
    return events.DnsQuery(name, kind, rcode, [], "udp", "10.53.25.6")


def found(*said: tuple[float, Body], address: str = "10.53.25.3") -> Finding:
    """ns1 told ns2 its SOA at second 1; what ns2 did then, and when."""
    trace = Trace()
    asked = events.DnsQuery("example.test.", "SOA", "NOERROR", [SOA], "udp", "10.53.25.3")
    trace.add(Event(0.0, 0, "ns1", None, ready("10.53.25.2")))
    trace.add(Event(1.0, 1, "ns1", None, asked))
    for number, (at, body) in enumerate([(0.0, ready(address)), *said]):
        trace.add(Event(at, number, "ns2", None, body))
    (finding,) = judge(["no-expired-answers"], trace, Evidence(topology=PAIR))
    return finding


def test_a_copy_may_be_served_for_its_expire() -> None:
    assert found((50.0, answer())).verdict is Verdict.PASS


def test_an_answer_from_a_copy_that_has_expired_fails() -> None:
    finding = found((50.0, answer()), (300.0, answer()))
    assert finding.verdict is Verdict.FAIL
    (text,) = finding.details
    assert text.startswith("ns2 answered Example.TEST. MX with NOERROR from a copy of example.test")
    assert text.endswith("that was 299 s old, and good for 60 s")


@pytest.mark.parametrize(
    "said",
    [
        (answer("SERVFAIL"),),  # as it must
        (answer(kind="NOTIFY"),),  # thanks to the primary
        (answer(name="other.test."),),  # of a zone of which nothing was heard
        (STRUCK, answer("NXDOMAIN")),  # said by a fault
    ],
)
def test_what_is_no_answer_from_the_copy_does_not_count(said: tuple[Body, ...]) -> None:
    late = [(300.0, body) for body in said]
    assert found((50.0, answer()), *late).verdict is Verdict.PASS


def test_where_nobody_knows_who_asked_there_is_nothing_to_look_at() -> None:
    assert found((300.0, answer()), address="0.0.0.0").verdict is Verdict.UNKNOWN
