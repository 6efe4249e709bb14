"""`mxlab scenario new`: the draft of each fault is a story in which the fault does what it does."""

from typing import Any

import pytest
import yaml

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.errors import UsageError
from mxlab.faults.table import example
from mxlab.model.finding import Verdict
from mxlab.model.mechanism import MECHANISMS, STRIKING
from mxlab.report.text import text as report
from mxlab.runner import runner
from mxlab.scenario.draft import Draft
from mxlab.scenario.lint import remarks
from mxlab.scenario.load import loads
from mxlab_services.events import FaultStruck, LabFault, LabHealed, Lookup, Tried
from mxlab_services.faults.base import NodeFault


@pytest.mark.parametrize("fault", MECHANISMS)
@pytest.mark.parametrize("host", ["", "mx2", "dns"])
def test_in_every_draft_the_fault_does_what_it_does(fault: str, host: str) -> None:
    """Before it is healed: it strikes, or mail met its host, or went past it."""
    given = {k: yaml.safe_load(v) for k, v in example(MECHANISMS[fault]).items() if k != "host"}
    if "peers" in given:
        given["peers"] = ["client"]
    draft = Draft("draft", fault=fault, host=host, parameters=given)
    elsewhere = host and issubclass(MECHANISMS[fault], NodeFault)
    if elsewhere and (fault.startswith("dns-") != (host == "dns") or fault == "mailbox-full"):
        with pytest.raises(UsageError, match=r"is a fault of|has no mailbox"):
            draft.scenario()
        return
    text = draft.scenario()
    scenario = loads(text)
    assert [r for r in remarks(scenario, [SimBackend()]) if r.level != "note"] == []
    result = simulate(lambda: runner.run(scenario, SimBackend(), lab="d", run_id="d"))
    assert result.verdict is Verdict.PASS, report(result)
    events = result.trace.events()
    start = next(e.at for e in events if e.body == LabFault("outage", fault, draft.at))
    end = next(e.at for e in events if e.body == LabHealed("outage"))
    meanwhile = [event.body for event in events if start <= event.at <= end]
    tried = [b for b in meanwhile if isinstance(b, Tried | Lookup)]
    struck = [b for b in meanwhile if isinstance(b, FaultStruck) and b.fault == "outage"]
    assert struck if fault in STRIKING else tried


@pytest.mark.parametrize(
    ("fault", "given"),
    [
        ("reply", {"verb": "STARTTLS", "code": 454}),
        ("reply", {"verb": "DOT", "code": 554, "nth": 7}),
        ("reply", {"verb": "RCPT", "code": 550, "recipient": "carol@example.test"}),
        ("reply", {"verb": "MAIL", "code": 450, "sender": "@client.test"}),
        ("reply", {"verb": "MAIL", "code": 450, "peer": "mx2"}),
        ("lose-ack", {"chance": 0.1}),
        ("lose-ack", {"peer": "client", "first": 1}),
        ("cut", {"after": 200_000}),
        ("mailbox-full", {"address": "dave@example.test"}),
        ("dns-nxdomain", {"name": "mx1.example.test", "type": "A"}),
        ("dns-servfail", {"name": "example.test", "subdomains": True}),
    ],
)
def test_mail_is_such_as_the_fault_can_strike(fault: str, given: dict[str, Any]) -> None:
    scenario = loads(Draft("draft", fault=fault, parameters=given).scenario())
    result = simulate(lambda: runner.run(scenario, SimBackend(), lab="d", run_id="d"))
    assert result.verdict is Verdict.PASS, report(result)
    assert result.trace.struck["outage"]


@pytest.mark.parametrize(
    ("fault", "host", "said"),
    [
        ("disk-full", "client", "the client only sends"),
        ("reply", "dns", "is a fault of a mail host"),
        ("dns-null-mx", "mx1", "is a fault of the DNS server"),
        ("mailbox-full", "mx2", "has no mailbox on mx2"),
    ],
)
def test_where_nothing_would_meet_it_is_refused(fault: str, host: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Draft("draft", fault=fault, host=host).check()


@pytest.mark.parametrize("host", ["", "client"])
def test_nobody_authenticates_himself_in_a_draft(host: str) -> None:
    given = {"verb": "AUTH", "code": 454}
    with pytest.raises(UsageError, match="nobody authenticates himself"):
        Draft("draft", fault="reply", host=host, parameters=given).check()
