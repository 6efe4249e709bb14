"""Each host keeps trying as it is told: by its own word, else the lab's, else the schedule's."""

import pytest

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.errors import ScenarioError
from mxlab.model.finding import Verdict
from mxlab.model.topology import Exchange, MailDomain, RelayHost, RetryHabit, Topology
from mxlab.plan.plan import AddressPlan, make_plan
from mxlab.plan.retries import retry_config, retry_problems
from mxlab.runner import runner
from mxlab.scenario.load import loads
from mxlab.scenario.write import scenario_text
from mxlab_services.config import MtaConfig, RetryConfig

TEXT = """
mxlab: 1
title: t
topology:
  schedule: postfix
  warning: 4h
  mx:
    - {host: mx1, preference: 10}
    - {host: mx2, preference: 20, schedule: exim, lifetime: 2h, warning: 30m, jitter: 0.5}
  client_retry: {lifetime: 1h30m, warning: 0s}
steps:
  - send: {id: batch, from: alice@client.test, to: bob@example.test}
expect: [nothing-lost]
"""


def test_what_a_host_is_not_told_it_has_from_the_lab() -> None:
    topology = loads(TEXT).topology
    plan = make_plan("lab", "run", topology, AddressPlan("10.0.0.0/24"))
    retries = {node.node: node.retry for node in plan.nodes if isinstance(node, MtaConfig)}
    assert retries == {
        "mx1": RetryConfig("postfix", warning=4 * 3600.0),
        "mx2": RetryConfig("exim", lifetime=7200.0, warning=1800.0, jitter=0.5),
        "client": RetryConfig("postfix", lifetime=5400.0, warning=0.0),
    }


def test_a_file_that_is_written_says_the_same() -> None:
    scenario = loads(TEXT)
    text = scenario_text(scenario)
    assert "lifetime: 2h" in text
    assert loads(text).topology == scenario.topology


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("schedule: exim", "schedule: exmi", "did you mean 'exim'"),
        ("lifetime: 2h", "lifetime: 7200", "`lifetime`: 7200 is no duration: it lacks its unit"),
        ("lifetime: 2h", "lifetime: 0s", "`lifetime`: no time: nothing would be tried twice"),
        ("lifetime: 2h", "lifetime: 9999d", "`lifetime`: '9999d' is too long"),
        ("jitter: 0.5", "jitter: 2", "`jitter`: expected a number <= 1"),
        ("warning: 0s", "wraning: 0s", "did you mean `warning`"),
        ("schedule: postfix", "schedule: 3", "`schedule`: expected text"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(before: str, after: str, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        loads(TEXT.replace(before, after))
    line = next(n for n, text in enumerate(TEXT.splitlines(), 1) if before in text)
    assert error.value.line == line
    assert said in f"{error.value} {error.value.hint}"


def test_what_was_made_in_python_is_checked_too() -> None:
    lab = Topology(
        mx=(Exchange("mx1", 10, lifetime=-1.0),), client_retry=RetryHabit(schedule="hourly")
    )
    assert [problem.path for problem in retry_problems(lab)] == [
        ("mx", 0, "lifetime"), ("client_retry", "schedule"),
    ]  # fmt: skip


def test_mail_is_given_up_where_patience_ends_first() -> None:
    story = TEXT.replace("  - send:", "  - fault: {id: down, kill: mx1}\n  - send:").replace(
        "expect: [nothing-lost]",
        "  - eventually: {within: 3h, bounced: {batch: batch, code: 5.4.7}}\n"
        "  - eventually: {within: 1m, notified: {address: alice@client.test, kind: delayed}}\n"
        "expect: [nothing-lost, retry-spacing, bounces-justified, failures-notified,\n"
        "  {notified: {address: alice@client.test, code: 5.4.7, batch: batch, count: 1}}]",
    )
    result = simulate(lambda: runner.run(loads(story), SimBackend(), lab="x", run_id="x"))
    assert result.verdict is Verdict.PASS, result.findings


def test_a_host_that_is_named_twice_says_it_where_it_is_named_first() -> None:
    further = MailDomain("second.test", (Exchange("mx2", 10, lifetime=60.0),))
    (problem,) = retry_problems(Topology(domains=(further,)))
    assert problem.path == ("domains", 0, "mx", 0)
    assert "mx2 was named before" in problem.text
    relay = RelayHost("relay1", "isp.test", ("client",), schedule="rfc")
    assert retry_config(Topology(relays=(relay,)), "relay1").schedule == "rfc"
