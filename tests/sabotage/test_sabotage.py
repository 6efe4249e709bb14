"""Every scenario has sabotaged forms that must not pass, so that none passes whatever happens.

A form changes what the story needs: a fault that is not injected, another topology, another step.
"""

import asyncio
import secrets
import time as host
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mxlab.backends.docker import DockerBackend
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.model.finding import Verdict
from mxlab.model.mechanism import Drop, Kill, Pause
from mxlab.model.scenario import Scenario
from mxlab.model.step import AnyStep, Config, Dns, Etrn, Fault, Heal, Parallel, Python, Send
from mxlab.model.submitting import Submitting
from mxlab.model.topology import Exchange, MailDomain, Submitters
from mxlab.report.text import text
from mxlab.runner import runner
from mxlab.scenario.load import load, scenario_ids
from mxlab_services.config import TimeConfig
from mxlab_services.faults import kinds
from mxlab_services.faults.base import Mechanism

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


def without_config(host: str) -> Sabotage:
    """The settings of that host stay as they are."""
    return lambda scenario: _with_steps(
        scenario, lambda step: not (isinstance(step, Config) and step.host == host)
    )


def without_etrn(scenario: Scenario) -> Scenario:
    """Nobody asks, so the mail comes when its time has come."""
    return _with_steps(scenario, lambda step: not isinstance(step, Etrn))


def without_python(function: str) -> Sabotage:
    """The function of that name is not called."""
    return lambda scenario: _with_steps(
        scenario, lambda step: not (isinstance(step, Python) and step.target.endswith(function))
    )


def sent_to(batch: str, recipient: str) -> Sabotage:
    """The batch goes to somebody else."""
    return _changed(batch, recipients=recipient)


def through(batch: str, client: str | None) -> Sabotage:
    """The batch goes through another client."""
    return _changed(batch, via=client)


def wishing(batch: str, notify: str) -> Sabotage:
    """Its sender wants to hear of something else."""
    return _changed(batch, notify=notify)


def handed_in(batch: str, **how: Any) -> Sabotage:
    """A program hands it in otherwise."""
    return _changed(batch, submission=Submitting(**how))


def _changed(batch: str, **changes: object) -> Sabotage:
    def instead(step: AnyStep) -> AnyStep:
        if isinstance(step, Send) and step.id == batch:
            return msgspec.structs.replace(step, **changes)
        if isinstance(step, Parallel):
            return Parallel(tuple(map(instead, step.steps)))
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
WITH_EXIM = Exchange("mx2", 20, software="exim")
WITH_POSTFIX = Exchange("mx2", 20, software="postfix")
SABOTAGED: dict[str, tuple[Sabotage, ...]] = {
    "aimed-at-backup": (without("filter"), without("same-filter")),
    "backup-for-a-friend": (
        without("friend-down"),
        topology(
            domains=(
                MailDomain(
                    "friend.test",
                    (Exchange("mx3", 10), Exchange("mx1", 20)),
                    recipients=("fred@friend.test",),
                ),
            )
        ),
    ),
    "auth-server-hiccups": (
        without("hiccup"),
        without("cut"),
        handed_in("patient", user="alice", tries=2),
        with_fault("hiccup", kinds.ReplyWith("client", "AUTH", 535, "5.7.8", first=4)),
    ),
    "alias-elsewhere": (
        without("down"),
        without("other-down"),
        topology(aliases={"team": ("bob", "carol")}),
        topology(aliases={"team": "nobody@far.test"}),
    ),
    "backscatter": (without("down"), topology(backup_knows_recipients=True)),
    "backup-crash": (without("primary-down"), without("backup-down")),
    "both-down": (without("primary-down"), without("backup-down")),
    "bounce-undeliverable": (topology(recipients=None), sent_to("batch", "bob@example.test")),
    "busy-primary": (
        without("busy"),
        with_fault("busy", kinds.ReplyWith("mx2", verb="CONNECT", code=421)),
    ),
    "cascade": (without("down-1"), without("down-2"), topology(mx=(ONE, TWO, Exchange("mx3", 5)))),
    "change-of-product": (without_dns_change(1), without("down"), without_python("flush")),
    "counterfactual-with": (without("down"), topology(mx=(ONE, Exchange("mx2", 10)))),
    "counterfactual-without": (without("asleep"), topology(mx=(ONE, TWO))),
    "deleted-by-reader": (without_python("home_fetches"), topology(imap=False)),
    "delegation-moved": (without("retired"), without_dns_change(3)),
    "disk-full": (without("full"), without("down")),
    "dns-down": (without("dark"),),
    "equal-backups": (without("down"), topology(mx=(ONE, TWO, Exchange("mx3", 30)))),
    "etrn-on-return": (without("down"), topology(schedule="workshop"), without_etrn),
    "equal-preferences": (topology(mx=(ONE, TWO)), without("down")),
    "exim-no-retry-rule": (without("down"), topology(mx=(ONE, WITH_EXIM))),
    "exim-retry-database": (without("down"), topology(schedule="workshop")),
    "expired-secondary": (without("dead"), topology(dns=("ns1", "ns2"), resolver="stub")),
    "five-day-outage": (without("down"), topology(schedule="postfix")),
    "flapping-primary": (without("down-1"), without("down-2"), without("down-3")),
    "four-or-five": (without("later"), with_fault("nobody", kinds.ReplyWith("mx1", "RCPT", 450))),
    "four-mailboxes": (without("down"), topology(recipients=None)),
    "greylisting": (
        without("strict"),
        with_fault("lax", kinds.Greylist("mx1", seconds=86400)),
    ),
    "friend-and-stranger": (
        without("wary"),
        without("listed"),
        with_fault("wary", kinds.Greylist("mx1", 120)),
        through("unknown", None),
    ),
    "ipv6-nowhere": (topology(mx=(ONE, TWO)), topology(ip=(4,), mx=(ONE, TWO))),
    "ipv6-only-primary": (without("down"), topology(mx=(ONE, TWO)), topology(client_ip=None)),
    "impatient-backup": (without("down"), topology(mx=(ONE, TWO))),
    "lame-delegation": (without("lame"), without("lamer")),
    "listener-closed": (without("closed"), with_fault("closed", kinds.Refuse("mx2"))),
    "lossy-network": (without("noise"), with_fault("noise", Drop("mx1"))),
    "lost-ack": (
        without("lost-word"),
        with_fault("lost-word", kinds.Reset("mx1", verb="DOT", first=1)),
    ),
    "mailbox-full": (
        without("full"),
        with_fault("full", kinds.MailboxFull("mx1", address="carol@example.test")),
    ),
    "message-too-large": (
        without("limit"),
        with_fault("limit", kinds.ReplyWith("mx1", "MAIL", 452, sender="big@client.test")),
    ),
    "mx-to-cname": (without_dns_change(0), without_dns_change(1)),
    "name-server-dead": (topology(dns=("ns1",)), topology(resolver="stub")),
    "nobody-to-tell": (topology(recipients=None), wishing("plain", "never")),
    "no-backup": (without("down"), topology(mx=(ONE, TWO))),
    "not-your-address": (
        topology(submission=Submitters({"alice": "x", "office": "y"})),
        handed_in("director", user="office", refused="5.7.1"),
        handed_in("own", user="nobody", password="x"),
    ),
    "null-mx": (without("no-mail"), with_fault("no-mail", kinds.DnsServfail(name="example.test"))),
    "one-at-a-time": (without_config("client"), without("scanner"), topology(client_limits=None)),
    "opensmtpd-route-rests": (without("down"), topology(schedule="workshop")),
    "open-relay": (without_dns_change(0), sent_to("abuse", "carol@example.test")),
    "partition": (without("split"), without("down")),
    "patience": (without_config("mx2"), without("slow"), topology(client_timeouts="rfc")),
    "postfix-backup-as-destination": (without("down"), topology(mx=(ONE, WITH_POSTFIX))),
    "postfix-dead-destination": (without("down"), topology(schedule="workshop")),
    "postfix-no-recipient-list": (without("down"), topology(mx=(ONE, WITH_POSTFIX))),
    "primary-hang": (without("frozen"), with_fault("frozen", Pause("mx2"))),
    "primary-moves": (without_dns_change(1), without("retired")),
    "primary-outage": (without("down"), with_fault("down", Kill("mx2"))),
    "primary-without-address": (
        without("no-address"),
        with_fault("no-address", kinds.DnsNullMx(name="example.test")),
    ),
    "reading-is-not-delivering": (without_python("the_server_stops"), topology(imap=False)),
    "relay-down": (without("relay-down"), without("primary-down"), topology(smarthost=None)),
    "secondary-behind": (without("no-transfer"), without("far")),
    "servfail-nxdomain": (
        without("broken"),
        with_fault("broken", kinds.DnsNxdomain(name="example.test")),
    ),
    "sole-mx-loop": (topology(mx=(ONE,)), topology(mx=(ONE, TWO))),
    "stale-ttl": (without("retired"), without_dns_change(1)),
    "stampede": (without("sick"), topology(jitter=0.8)),
    "stampede-of-many": (without("sick"), topology(jitter=1), through("calm", "north")),
    "stampede-jitter": (without("sick"), topology(jitter=0.0)),
    "submission-needs-auth": (
        handed_in("guessed", user="alice", refused=535),
        handed_in("nobody", user="alice", refused=530),
        handed_in("plain", user="alice", refused=538),
        handed_in("known", user="alice", password="open sesame"),
        topology(submission=Submitters({"alice": "open sesame"})),
    ),
    "swapped-preferences": (without("slip"), topology(mx=(ONE, Exchange("mx2", 20, "primary")))),
    "size-lowered": (without_config("mx1"), without_config("mx2"), without("down")),
    "tarpit": (without("slower"), with_fault("slow", kinds.Tarpit("mx1", seconds=8))),
    "tls-broken": (without("cut"), with_fault("cut", kinds.TlsBroken("mx2", how="handshake-cut"))),
    "unreliable-dns": (
        with_fault("long", kinds.DnsServfail(name="example.test", subdomains=True)),
        with_fault("silent", kinds.DnsTimeout(name="nobody-asks.test")),
    ),
    "two-domains": (
        without("first-down"),
        without("second-down"),
        topology(domains=(MailDomain("second.test", (Exchange("mx3", 10),)),)),
    ),
    "unknown-user": (
        without("down"),
        topology(backup_knows_recipients=False),
        topology(recipients=None),
    ),
    "wrong-glue": (without_dns_change(0), without_dns_change(1), without_python("right_glue")),
}
CASES = [
    (f"{name}-{number}", name, sabotage)
    for name, forms in SABOTAGED.items()
    for number, sabotage in enumerate(forms, 1)
]


def cases(*, in_sim: bool) -> list[object]:
    """Those that the simulation can tell, or the others."""
    return [
        pytest.param(name, sabotage, id=case)
        for case, name, sabotage in CASES
        if ("sim" in (load(name).backends or ("sim",))) is in_sim
    ]


def test_every_scenario_is_sabotaged() -> None:
    assert sorted(SABOTAGED) == scenario_ids()


@pytest.mark.docker
@pytest.mark.nightly
@pytest.mark.parametrize(("name", "sabotage"), cases(in_sim=False))
def test_a_sabotaged_story_of_containers_does_not_pass(name: str, sabotage: Sabotage) -> None:
    token, scenario = secrets.token_hex(4), sabotage(load(name))
    time = TimeConfig(scenario.time_scale, host.time())  # noqa: TID251 - the lab begins now
    work = runner.run(scenario, DockerBackend(), lab=f"s-{token}", run_id=token, time=time)
    result = asyncio.run(work)
    assert result.verdict in (Verdict.FAIL, Verdict.UNKNOWN), text(result)


@pytest.mark.parametrize(("name", "sabotage"), cases(in_sim=True))
def test_a_sabotaged_story_does_not_pass(name: str, sabotage: Sabotage) -> None:
    scenario = sabotage(load(name))
    result = simulate(lambda: runner.run(scenario, SimBackend(), lab="sabotage", run_id="s"))
    assert result.verdict in (Verdict.FAIL, Verdict.UNKNOWN), text(result)
