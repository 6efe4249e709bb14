"""A lab that is up, judged as it is now: settings, answers, hosts that are gone, faults."""

from collections.abc import Awaitable, Callable

import pytest

from mxlab.audit.every import hold
from mxlab.audit.of_lab import setup_of_lab
from mxlab.audit.setup import AuditSetup
from mxlab.backends.base import Lab, Order
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.model.topology import Exchange, Topology
from mxlab.runner.runner import silent
from mxlab_services.control.requests import ConfigChange, ZoneReplace, ZoneUpdate

TWO = Topology(dns=("ns1", "ns2"))
Doing = Callable[[Lab], Awaitable[object]]


async def nothing(lab: Lab) -> None:
    """Leave it as it came up."""


def setup_after(doing: Doing, topology: Topology) -> AuditSetup:
    async def whole() -> AuditSetup:
        async with SimBackend().deploy(Order("t", "t", topology), silent) as lab:
            await doing(lab)
            return await setup_of_lab(lab)

    return simulate(whole)


def flaws(doing: Doing, topology: Topology | None = None) -> dict[str, list[str]]:
    """What is found, by rule, that is not found in the lab as it came up."""
    topology = topology or Topology()
    found = [
        {one.id: [f"{f.place}: {f.text}" for f in one.flaws] for one in hold(setup)}
        for setup in (setup_after(nothing, topology), setup_after(doing, topology))
    ]
    before, after = found
    return {name: texts for name, texts in after.items() if texts != before[name]}


def test_a_setting_that_was_changed_is_judged_as_it_is_now() -> None:
    async def change(lab: Lab) -> None:
        await lab.nodes["mx1"].request(ConfigChange({"limits.message_size": 5000}))

    assert flaws(change) == {
        "same-size-limit": [
            "mx2: limits.message_size: mx2 takes messages of 10485760 bytes, its primary mx1 "
            "of 5000"
        ]
    }


def test_a_host_that_is_down_is_judged_as_it_came_up_and_that_is_told() -> None:
    async def kill(lab: Lab) -> None:
        await lab.nodes["mx2"].kill()

    assert not flaws(kill)
    assert setup_after(kill, Topology()).notes == ("mx2 does not answer: this is how it came up",)


def test_without_the_client_nobody_asks_and_that_is_not_kept() -> None:
    async def kill(lab: Lab) -> None:
        await lab.nodes["client"].kill()

    setup = setup_after(kill, TWO)
    found = {one.id: one for one in hold(setup)}
    assert found["name-servers-answer"].outcome == "not seen"
    assert found["best-exchange-delivers"].outcome == "kept"
    assert "client does not run: nobody asks the name servers" in setup.notes


def test_with_the_only_name_server_gone_the_rest_is_judged_by_what_it_had() -> None:
    async def kill(lab: Lab) -> None:
        await lab.nodes["dns"].kill()

    found = flaws(kill)
    assert found.keys() == {"name-servers-answer"}
    assert "hears nothing of use" in found["name-servers-answer"][0]
    assert "nobody answers there" in found["name-servers-answer"][1]


def test_one_name_server_of_two_that_is_gone_is_found() -> None:
    async def kill(lab: Lab) -> None:
        await lab.nodes["ns1"].kill()

    (text,) = flaws(kill, TWO)["name-servers-answer"]
    assert "ns1.example.test" in text


def test_a_name_server_at_an_address_that_the_client_cannot_reach_is_not_asked() -> None:
    topology = Topology(ip=(4, 6), client_ip=(4,))
    assert not hold(setup_after(nothing, topology), ["name-servers-answer"])[0].flaws


def test_a_zone_of_somebody_else_that_leads_to_our_backup_is_found() -> None:
    async def lead(lab: Lab) -> None:
        text = "@ 60 SOA ns h 1 3600 600 86400 60\n@ 60 MX 10 mx2.example.test.\n"
        await lab.nodes["dns"].request(ZoneReplace("example.net", text))

    assert "not told to take mail for example.net" in flaws(lead)["exchange-agreed"][0]


def test_an_exchange_of_another_name_is_the_host_at_its_address() -> None:
    async def rename(lab: Lab) -> None:
        own = lab.nodes["mx1"].config.address
        add = [f"mail.example.test. 60 IN A {own}", "example.test. 60 IN MX 10 mail.example.test."]
        remove = ["example.test. MX 10 mx1.example.test."]
        await lab.nodes["dns"].request(ZoneUpdate("example.test", add, remove))

    assert not flaws(rename)


def test_a_senders_own_domain_is_not_judged() -> None:
    assert [d.text for d in setup_after(nothing, Topology()).domains] == ["example.test"]


def test_an_address_at_which_no_host_is_is_found() -> None:
    topology = Topology(ip=(4, 6), mx=(Exchange("mx1", 10, ip=(4,), unreachable=(6,)),))
    (found,) = hold(setup_after(nothing, topology), ["address-answers"])
    assert "where no host is" in found.flaws[0].text


@pytest.mark.parametrize("schedule", ["rfc", "exim", "opensmtpd", "postfix", "workshop"])
def test_a_schedule_is_judged_by_its_own_times(schedule: str) -> None:
    (lifetime, wait) = hold(
        setup_after(nothing, Topology(schedule=schedule)), ["backup-lifetime", "start-the-queue"]
    )
    assert (lifetime.outcome == "broken") == (schedule == "workshop")
    assert (wait.outcome == "broken") == (schedule in ("rfc", "exim", "opensmtpd"))
