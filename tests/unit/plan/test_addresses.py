"""`{mx1}` in a `dns` step is the host's address, and `ttl` says for how long answers are kept."""

import pytest

from mxlab import dns
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.errors import ScenarioError, UnknownName, UsageError
from mxlab.model.finding import Verdict
from mxlab.plan.addresses import with_addresses
from mxlab.runner import runner
from mxlab.runner.result import RunResult
from mxlab.scenario.lint import remarks
from mxlab.scenario.load import loads
from mxlab_services import events
from tests.support.scenario_text import END, HEAD, SEND

HOSTS = {"mx1": ["10.0.0.3", "2001:db8::3"], "mx2": ["10.0.0.4"], "six": ["2001:db8::5"]}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("mail A {mx1}", "mail A 10.0.0.3"),
        ("mail 300 IN AAAA {mx1}", "mail 300 IN AAAA 2001:db8::3"),
        ("a IN a\t{mx2}", "a IN a\t10.0.0.4"),
        ("six AAAA {six}", "six AAAA 2001:db8::5"),
        ('@ TXT "ip4:{mx2} ip6:{nobody} -all"', '@ TXT "ip4:10.0.0.4 ip6:{nobody} -all"'),
        ("$GENERATE 1-3 h${0,2,d} A 10.0.0.$", "$GENERATE 1-3 h${0,2,d} A 10.0.0.$"),
        ("x A {mx1}\ny A {mx2}\n", "x A 10.0.0.3\ny A 10.0.0.4\n"),
        ("@ MX 10 mx1", "@ MX 10 mx1"),
    ],
)  # fmt: skip
def test_addresses_are_put_in(text: str, made: str) -> None:
    assert with_addresses(text, HOSTS) == made


def test_what_has_no_address_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="no host is called 'mx9'") as error:
        with_addresses("mail A {mx9}", HOSTS)
    assert "did you mean" in error.value.hint
    with pytest.raises(UsageError, match="mx2 has no address of IPv6"):
        with_addresses("mail AAAA {mx2}", HOSTS)
    with pytest.raises(UsageError, match="six has no address of IPv4"):
        with_addresses("mail A {six}", HOSTS)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("{add: [mail A {mx1}]}", ""),  # YAML takes the braces for a mapping
        ('{add: ["mail A {mx11}"]}', "no host is called 'mx11'"),
        ('{add: ["mail AAAA {mx1}"]}', "mx1 has no address of IPv6"),
        ('{remove: ["mx1 A {client2}"]}', "no host is called 'client2'"),
        ('{add: ["mail A {mx1}"], ttl: 60}', "60 is no duration: it lacks its unit"),
        ('{add: ["mail A {mx1}"], ttl: 1500ms}', "a TTL is whole seconds"),
        ('{zone: "@ A {mx1}", ttl: 1m}', "the text of a zone says its own TTLs"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(step: str, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        loads(HEAD + SEND + f"  - dns: {step}\n" + END)
    assert error.value.line == 5
    assert said in str(error.value)


def test_python_is_refused_where_it_is_written() -> None:
    assert dns(add=["mail A {mx1}"], ttl="5m").ttl == 300.0
    with pytest.raises(ScenarioError, match="whole seconds"):
        dns(add=["mail A {mx1}"], ttl=0.5)
    with pytest.raises(ScenarioError, match="its own TTLs"):
        dns(zone="x", ttl="5m")


def played(steps: str, expect: str) -> RunResult:
    scenario = loads(HEAD + steps + f"expect: [nothing-lost, {expect}]\n")
    assert [one for one in remarks(scenario, [SimBackend()]) if one.level == "error"] == []
    return simulate(lambda: runner.run(scenario, SimBackend(), lab="x", run_id="x"))


MOVE = (
    '  - dns: {remove: ["@ MX"], add: ["@ MX 10 mail", "mail A {mx1}"], ttl: 20m}\n'
    + SEND
    + "  - eventually: {within: 1m, delivered: batch}\n"
    '  - dns: {remove: ["mail A"], add: ["mail A {mx2}"], ttl: 5m}\n'
)


def test_a_changed_zone_serves_the_hosts_addresses_with_the_ttl() -> None:
    result = played(
        MOVE
        + "  - fault: {id: gone, stop: mx1}\n"
        + SEND.replace("batch", "later")
        + "  - never: {during: 15m, asked: {name: mail.example.test, type: A, by: client}}\n"
        "  - eventually: {within: 20m, attempt: {host: mx2, by: client, batch: later}}\n"
        "  - heal: gone\n",
        "{attempt: {host: mx1, by: client, batch: batch, at-least: 1}}",
    )
    assert result.verdict is Verdict.PASS, result.findings
    zones = [e.body for e in result.trace.by_node["dns"] if isinstance(e.body, events.DnsZone)]
    for zone, ttl, host in zip(zones, ("1200", "300"), ("mx1", "mx2"), strict=True):
        (line,) = [line for line in zone.added if line.startswith("mail.")]
        *_, address = words = line.split()
        assert words[1] == ttl
        assert result.trace.hosts[address] == host


def test_a_ttl_alone_is_the_whole_zones() -> None:
    result = played("  - dns: {ttl: 7m}\n" + SEND, "all-delivered")
    (zone,) = [e.body for e in result.trace.by_node["dns"] if isinstance(e.body, events.DnsZone)]
    assert any("example.test. 420 IN MX 10 mx1" in line for line in zone.added)
    assert {line.split()[1] for line in zone.added} == {"420"}
