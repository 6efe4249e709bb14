"""Every scenario has sabotaged forms that must not pass, so that none passes whatever happens.

A form changes what the story needs: a fault that is not injected, another topology, another step.
"""

from collections.abc import Callable

import msgspec
import pytest

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.model.finding import Verdict
from mxlab.model.mechanism import Mechanism, inner, outer
from mxlab.model.scenario import Scenario
from mxlab.model.step import AnyStep, Dns, Etrn, Fault, Heal, Parallel, Send
from mxlab.model.topology import Exchange
from mxlab.report import text
from mxlab.runner import runner
from mxlab.scenario.load import load, scenario_ids

Sabotage = Callable[[Scenario], Scenario]


def without(name: str) -> Sabotage:
    """The fault of that name is never injected."""
    return lambda scenario: _with_steps(scenario, lambda step: not _is_about(step, name))


def with_fault(name: str, mechanism: Mechanism) -> Sabotage:
    """Another fault in the place of the one of that name."""
    return lambda scenario: _mapped(
        scenario, lambda step: Fault(name, mechanism) if _injects(step, name) else step
    )


def without_dns_change(number: int) -> Sabotage:
    """The change of the zone that is this one in order (from 0) is left out."""

    def sabotage(scenario: Scenario) -> Scenario:
        gone = [step for step in scenario.steps if isinstance(step, Dns)][number]
        return _with_steps(scenario, lambda step: step is not gone)

    return sabotage


def without_etrn(scenario: Scenario) -> Scenario:
    """Nobody asks, so the mail comes when its time has come."""
    return _with_steps(scenario, lambda step: not isinstance(step, Etrn))


def sent_to(batch: str, recipient: str) -> Sabotage:
    """The batch goes to somebody else."""

    def instead(step: AnyStep) -> AnyStep:
        if isinstance(step, Send) and step.id == batch:
            return msgspec.structs.replace(step, recipients=recipient)
        return step

    return lambda scenario: _mapped(scenario, instead)


def topology(**changes: object) -> Sabotage:
    """Another lab."""
    return lambda scenario: msgspec.structs.replace(
        scenario, topology=msgspec.structs.replace(scenario.topology, **changes)
    )


def _injects(step: AnyStep, name: str) -> bool:
    return isinstance(step, Fault) and step.id == name


def _is_about(step: AnyStep, name: str) -> bool:
    return _injects(step, name) or (isinstance(step, Heal) and step.fault == name)


def _with_steps(scenario: Scenario, keep: Callable[[AnyStep], bool]) -> Scenario:
    def kept(steps: tuple[AnyStep, ...]) -> tuple[AnyStep, ...]:
        return tuple(
            Parallel(kept(step.steps)) if isinstance(step, Parallel) else step
            for step in steps
            if keep(step)
        )

    sabotaged = kept(scenario.steps)
    assert sabotaged != scenario.steps, "nothing was sabotaged"
    return msgspec.structs.replace(scenario, steps=sabotaged)


def _mapped(scenario: Scenario, change: Callable[[AnyStep], AnyStep]) -> Scenario:
    sabotaged = tuple(change(step) for step in scenario.steps)
    assert sabotaged != scenario.steps, "nothing was sabotaged"
    return msgspec.structs.replace(scenario, steps=sabotaged)


ONE, TWO = Exchange("mx1", 10), Exchange("mx2", 20)
SABOTAGED: dict[str, tuple[Sabotage, ...]] = {
    "aimed-at-backup": (without("filter"), without("same-filter")),
    "backscatter": (without("down"), topology(backup_knows_recipients=True)),
    "backup-crash": (without("primary-down"), without("backup-down")),
    "both-down": (without("primary-down"), without("backup-down")),
    "bounce-undeliverable": (topology(recipients=None), sent_to("batch", "bob@example.test")),
    "busy-primary": (
        without("busy"),
        with_fault("busy", inner.Reply("mx2", verb="CONNECT", code=421)),
    ),
    "cascade": (without("down-1"), without("down-2"), topology(mx=(ONE, TWO, Exchange("mx3", 5)))),
    "counterfactual-with": (without("down"), topology(mx=(ONE, Exchange("mx2", 10)))),
    "counterfactual-without": (without("asleep"), topology(mx=(ONE, TWO))),
    "disk-full": (without("full"), without("down")),
    "dns-down": (without("dark"),),
    "etrn-on-return": (without("down"), topology(schedule="workshop"), without_etrn),
    "equal-preferences": (topology(mx=(ONE, TWO)), without("down")),
    "five-day-outage": (without("down"), topology(schedule="postfix")),
    "flapping-primary": (without("down-1"), without("down-2"), without("down-3")),
    "greylisting": (
        without("strict"),
        with_fault("lax", inner.Greylist("mx1", seconds=86400)),
    ),
    "listener-closed": (without("closed"), with_fault("closed", inner.Refuse("mx2"))),
    "lossy-network": (without("noise"), with_fault("noise", outer.Drop("mx1"))),
    "lost-ack": (
        without("lost-word"),
        with_fault("lost-word", inner.Reset("mx1", verb="DOT", first=1)),
    ),
    "mailbox-full": (
        without("full"),
        with_fault("full", inner.MailboxFull("mx1", address="carol@example.test")),
    ),
    "message-too-large": (
        without("limit"),
        with_fault("limit", inner.Reply("mx1", verb="MAIL", code=452, sender="big@client.test")),
    ),
    "mx-to-cname": (without_dns_change(0), without_dns_change(1)),
    "no-backup": (without("down"), topology(mx=(ONE, TWO))),
    "null-mx": (without("no-mail"), with_fault("no-mail", inner.DnsServfail(name="example.test"))),
    "open-relay": (without_dns_change(0), sent_to("abuse", "carol@example.test")),
    "partition": (without("split"), without("down")),
    "primary-hang": (without("frozen"), with_fault("frozen", outer.Pause("mx2"))),
    "primary-outage": (without("down"), with_fault("down", outer.Kill("mx2"))),
    "primary-without-address": (
        without("no-address"),
        with_fault("no-address", inner.DnsNullMx(name="example.test")),
    ),
    "servfail-nxdomain": (
        without("broken"),
        with_fault("broken", inner.DnsNxdomain(name="example.test")),
    ),
    "sole-mx-loop": (topology(mx=(ONE,)), topology(mx=(ONE, TWO))),
    "stale-ttl": (without("retired"), without_dns_change(1)),
    "stampede": (without("sick"), topology(jitter=0.8)),
    "stampede-jitter": (without("sick"), topology(jitter=0.0)),
    "swapped-preferences": (without("slip"), topology(mx=(ONE, Exchange("mx2", 20, "primary")))),
    "tarpit": (without("slower"), with_fault("slow", inner.Tarpit("mx1", seconds=8))),
    "tls-broken": (without("cut"), topology(tls=False)),
    "unreliable-dns": (
        with_fault("long", inner.DnsServfail(name="example.test", subdomains=True)),
        with_fault("silent", inner.DnsTimeout(name="nobody-asks.test")),
    ),
    "unknown-user": (
        without("down"),
        topology(backup_knows_recipients=False),
        topology(recipients=None),
    ),
}
CASES = [
    pytest.param(name, sabotage, id=f"{name}-{number}")
    for name, forms in SABOTAGED.items()
    for number, sabotage in enumerate(forms, 1)
]


def test_every_scenario_is_sabotaged() -> None:
    assert sorted(SABOTAGED) == scenario_ids()


@pytest.mark.parametrize(("name", "sabotage"), CASES)
def test_a_sabotaged_story_does_not_pass(name: str, sabotage: Sabotage) -> None:
    scenario = sabotage(load(name))
    result = simulate(lambda: runner.run(scenario, SimBackend(), lab="sabotage", run_id="s"))
    assert result.verdict in (Verdict.FAIL, Verdict.UNKNOWN), text(result)
