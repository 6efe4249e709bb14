"""Patience and limits in a topology, and settings as people write them."""

import re

import msgspec
import pytest

from mxlab.errors import ScenarioError, UsageError
from mxlab.model.patience import Bounds, Patience
from mxlab.model.topology import Topology
from mxlab.plan.plan import AddressPlan, make_plan
from mxlab.scenario.load import loads
from mxlab.scenario.settings import allowed, setting_value, written
from mxlab_services.config import PATIENCE, Limits, MtaConfig, Timeouts
from mxlab_services.settings import changeable

STORY = """mxlab: 1
title: t
topology:
  {}
steps:
  - wait: 1s
expect: [nothing-lost]
"""


def nodes(topology: str) -> dict[str, MtaConfig]:
    """The MTAs that a scenario with this topology brings up."""
    scenario = loads(STORY.format(topology))
    plan = make_plan("lab", "run", scenario.topology, AddressPlan("10.53.25.0/24"))
    return {config.node: config for config in plan.nodes if isinstance(config, MtaConfig)}


def test_the_keys_of_a_file_are_those_of_a_node() -> None:
    def names(kind: type[msgspec.Struct]) -> list[str]:
        return [field.name for field in msgspec.structs.fields(kind)]

    assert names(Patience) == ["base", *names(Timeouts)]
    assert names(Bounds) == names(Limits)


def test_a_lab_without_a_word_has_what_it_had() -> None:
    for config in nodes("domain: example.test").values():
        assert (config.timeouts, config.limits) == (Timeouts(), Limits())


def test_a_host_has_what_the_lab_has_but_for_its_own() -> None:
    found = nodes(
        "{timeouts: {base: rfc, connect: 2s}, limits: {message_size: 5000, hops: 9},"
        " client_timeouts: {dot: 1m}, client_limits: {destination_concurrency: 1},"
        " mx: [{host: mx1, preference: 10, timeouts: postfix, limits: {hops: 5}},"
        " {host: mx2, preference: 20, timeouts: {base: workshop, mail: 500ms}}]}"
    )
    rfc = msgspec.structs.replace(PATIENCE["rfc"], connect=2.0)
    assert found["mx1"].timeouts == PATIENCE["postfix"]
    assert found["mx2"].timeouts == Timeouts(mail=0.5)
    assert found["client"].timeouts == msgspec.structs.replace(rfc, dot=60.0)
    assert found["mx1"].limits == Limits(message_size=5000, hops=5)
    assert found["mx2"].limits == Limits(message_size=5000, hops=9)
    assert found["client"].limits == Limits(
        message_size=5000, hops=9, destination_concurrency=1
    )  # fmt: skip


def test_hosts_of_further_domains_and_relays_have_them_too() -> None:
    found = nodes(
        "{limits: {hops: 9}, relays: [{host: out, domain: isp.test, for: [client]}], domains:"
        " [{domain: second.test, mx: [{host: mx3, preference: 1, timeouts: rfc}]}]}"
    )
    assert (found["mx3"].timeouts, found["mx3"].limits) == (PATIENCE["rfc"], Limits(hops=9))
    assert (found["out"].timeouts, found["out"].limits) == (Timeouts(), Limits(hops=9))


@pytest.mark.parametrize(
    ("topology", "said"),
    [
        ("timeouts: rcf", "no set of timeouts is called 'rcf'.*rfc"),
        ("timeouts: {base: postfx}", "no set of timeouts is called 'postfx'.*postfix"),
        ("timeouts: {greting: 5s}", "unknown key.*did you mean `greeting`"),
        ("timeouts: {greeting: 5}", "`greeting`"),
        ("timeouts: {greeting: 5 parsecs}", "`greeting`.*is not a duration"),
        ("timeouts: {greeting: 0s}", "no time at all"),
        ("limits: {hops: 0}", "`hops`"),
        ("limits: {hop: 1}", "unknown key.*did you mean `hops`"),
        ("mx: [{host: mx1, preference: 1, timeouts: x}]", "no set of timeouts"),
        ("mx: [{host: mx1, preference: 1, limits: {hops: many}}]", "`hops`"),
        ("client_timeouts: {dot: 99999d}", "too long"),
        ("domains: [{domain: b.test, mx: [{host: c, preference: 1, timeouts: x}]}]", "no set"),
    ],
)
def test_what_cannot_be_is_told_with_line_and_key(topology: str, said: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        loads(STORY.format(topology), "lab.yaml")
    assert str(raised.value).startswith("lab.yaml:4:")
    assert re.search(said, f"{raised.value} {raised.value.hint}")


def test_a_topology_in_python_is_checked_too() -> None:
    with pytest.raises(UsageError, match="no set of timeouts is called 'x'"):
        make_plan("lab", "run", Topology(timeouts="x"), AddressPlan("10.53.25.0/24"))


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("timeouts.greeting", "5m", 300.0),
        ("timeouts.greeting", "2.5", 2.5),
        ("retry.lifetime", "2h", 7200.0),
        ("retry.lifetime", "null", None),
        ("retry.jitter", "0.5", 0.5),
        ("retry.schedule", "exim", "exim"),
        ("limits.hops", "7", 7),
        ("recipients", "a@example.test, b@example.test", ["a@example.test", "b@example.test"]),
        ("recipients", "", []),
        ("recipients", "null", None),
    ],
)
def test_settings_are_read_as_they_are_written(key: str, text: str, value: object) -> None:
    assert setting_value(key, text) == value
    assert setting_value(key, written(value)) == value


@pytest.mark.parametrize("key", list(changeable()))
def test_of_each_setting_it_is_said_what_it_may_be(key: str) -> None:
    for wrong in ("\x00", "@", "{}"):
        with pytest.raises(UsageError) as raised:
            setting_value(key, wrong)
        assert allowed(key) in raised.value.hint
