"""Several mail domains on the same exchanges, and mail through relays, in simulated labs."""

import msgspec
import pytest

from mxlab import Scenario, deferred, delivered, eventually, fault, run, send
from mxlab.backends.sim.backend import SimLab
from mxlab.checks.mx_order import Walk, faults_of
from mxlab.errors import UsageError
from mxlab.model.finding import Verdict
from mxlab.model.topology import Exchange, MailDomain, RelayHost, Topology
from mxlab.plan.plan import AddressPlan, make_plan
from mxlab_services import events
from mxlab_services.config import DnsConfig, MxConfig
from mxlab_services.control.requests import ZoneUpdate
from mxlab_services.smtp.server.policy import Policy
from tests.support.stories import ALONE, BOB, MINUTE, happened, in_lab, mail_of, queue, route, talk
from tests.support.stories import send as submit

DORA = "dora@second.test"
SWAPPED = MailDomain("second.test", (Exchange("mx2", 10), Exchange("mx1", 20)), recipients=(DORA,))
RELAY = RelayHost("relay1", "isp.test", ("client",))
STRANGER = "EHLO c.test", "MAIL FROM:<a@c.test>"


def to(*recipients: str) -> list[str]:
    return [f"RCPT TO:<{recipient}>" for recipient in recipients]


def test_a_host_is_primary_of_one_domain_and_backup_of_another() -> None:
    async def story(lab: SimLab) -> tuple[list[str], list[str]]:
        await submit(lab, BOB, DORA)
        await lab.clock.sleep(MINUTE)
        boxes = [await mail_of(lab, n, a) for n, a in (("mx1", BOB), ("mx2", DORA))]
        assert [len(box) for box in boxes] == [1, 1]
        found = [str((await route(lab, n, a)).status) for a in (BOB, DORA) for n in ("mx1", "mx2")]
        return found[:2], found[2:]

    assert in_lab(story, domains=(SWAPPED,)) == (["local", "relay"], ["relay", "local"])


def test_each_domain_has_its_own_recipients_at_every_exchange() -> None:
    asked = (BOB, DORA, "bob@second.test", "dora@example.test", "postmaster@second.test")

    async def story(lab: SimLab) -> list[list[str]]:
        return [(await talk(lab, n, *STRANGER, *to(*asked)))[3:] for n in ("mx1", "mx2")]

    for replies in in_lab(story, domains=(SWAPPED,), recipients=(BOB,)):
        assert [reply[:9] for reply in replies] == [
            "250 2.1.5", "250 2.1.5", "550 5.1.1", "550 5.1.1", "250 2.1.5",
        ]  # fmt: skip


def test_a_domain_without_a_list_takes_anybody_beside_one_that_has_it() -> None:
    blind = msgspec.structs.replace(SWAPPED, backup_knows_recipients=False)

    async def story(lab: SimLab) -> list[list[str]]:
        asked = to("typo@example.test", "typo@second.test")
        return [(await talk(lab, n, *STRANGER, *asked))[3:] for n in ("mx1", "mx2")]

    at_backup, at_primary = in_lab(story, domains=(blind,), recipients=(BOB,))
    assert [reply[:9] for reply in at_backup] == ["550 5.1.1", "250 2.1.5"]
    assert [reply[:9] for reply in at_primary] == ["550 5.1.1", "550 5.1.1"]


def test_each_domain_is_a_zone_that_is_delegated_and_names_hosts_where_they_are() -> None:
    far = MailDomain("far.example", (Exchange("mx9", 5), Exchange("mx1", 10)))
    topology = Topology(domains=(SWAPPED, far), relays=(RELAY,), smarthost="relay1")
    plan = make_plan("lab", "run", topology, AddressPlan("10.0.0.0/24"))
    (dns, *_) = plan.nodes
    assert isinstance(dns, DnsConfig)
    assert (
        "@ IN MX 10 mx2.example.test.\n@ IN MX 20 mx1.example.test.\n" in dns.zones["second.test"]
    )
    assert "@ IN MX 5 mx9\n@ IN MX 10 mx1.example.test.\n" in dns.zones["far.example"]
    assert f"mx9 IN A {plan.node('mx9').address}\n" in dns.zones["far.example"]
    for name in ("second.test", "isp.test"):
        assert f"{name}. IN NS dns.example.test.\n" in dns.zones["test"]
    assert "far.example. IN NS dns.example.test.\n" in dns.zones["example"]
    reverse = next(text for origin, text in dns.zones.items() if origin.endswith("arpa"))
    assert "IN PTR mx9.far.example.\n" in reverse
    assert "IN PTR relay1.isp.test.\n" in reverse


# --- relays ---------------------------------------------------------------------------------------


def test_all_mail_of_a_client_goes_through_its_relay() -> None:
    async def story(lab: SimLab) -> tuple[list[str], list[str]]:
        await submit(lab, BOB, "x@nonexist.test")
        await lab.clock.sleep(MINUTE)
        tried = [event.host for event in await happened(lab, "client", events.Tried)]
        asked = [e.type for e in await happened(lab, "client", events.Lookup) if e.type == "MX"]
        (message,) = await mail_of(lab, "mx1", BOB)
        assert message.count("\nReceived:") == 3  # client, relay1, mx1
        return tried, asked

    tried, asked = in_lab(story, mx=ALONE, smarthost="relay1", relays=(RELAY,))
    assert set(tried) == {"relay1.isp.test"}
    assert not asked


def test_the_route_report_says_why() -> None:
    async def story(lab: SimLab) -> None:
        there, on = await route(lab, "client"), await route(lab, "relay1")
        assert there.decisions[0] == (
            "relay1.isp.test is the smarthost: all goes there, no MX is asked for "
            "(the operator's own rule)"
        )
        assert [target.split(" [")[0] for target in there.targets] == ["0 relay1.isp.test"]
        assert [target.split(" [")[0] for target in on.targets] == ["10 mx1.example.test"]

    in_lab(story, mx=ALONE, smarthost="relay1", relays=(RELAY,))


def test_a_relay_takes_mail_for_anywhere_from_its_hosts_alone() -> None:
    topology = Topology(mx=ALONE, smarthost="relay1", relays=(RELAY,))
    plan = make_plan("lab", "run", topology, AddressPlan("10.0.0.0/24"))
    config = plan.node("relay1")
    assert isinstance(config, MxConfig)
    said = {
        host: [
            str(Policy(config).judge(recipient, plan.node(host).address))[:9]
            for recipient in (BOB, "x@far.test", "nobody@isp.test", "postmaster@isp.test")
        ]
        for host in ("client", "mx1")
    }
    assert said["client"] == ["None", "None", "550 5.1.1", "None"]
    assert said["mx1"] == ["550 5.7.1", "550 5.7.1", "550 5.1.1", "None"]


def test_a_stranger_is_refused_by_a_relay() -> None:
    async def story(lab: SimLab) -> list[str]:
        return await talk(lab, "relay1", *STRANGER, *to(BOB))

    replies = in_lab(story, mx=ALONE, smarthost="relay1", relays=(RELAY,))
    assert replies[3].startswith("550 5.7.1")


def test_a_smarthost_that_has_no_name_keeps_mail_waiting_and_bounces_nothing() -> None:
    async def story(lab: SimLab) -> None:
        update = ZoneUpdate("isp.test", [], ["relay1 A"])
        await lab.nodes["dns"].request(update)
        await submit(lab)
        await lab.clock.sleep(MINUTE)
        (waiting,) = await queue(lab, "client")
        assert (
            "the smarthost relay1.isp.test has no usable address"
            in waiting.recipients[0].delay_reason
        )

    in_lab(story, mx=ALONE, smarthost="relay1", relays=(RELAY,))


def test_relays_are_a_chain() -> None:
    chain = (
        RelayHost("relay1", "isp.test", ("client",), "relay2"),
        RelayHost("relay2", "isp.test", ("relay1",)),
    )
    result = run(
        Scenario(
            title="t",
            steps=(send("batch", to=BOB), eventually(delivered("batch"), within="60s")),
            topology=Topology(mx=ALONE, smarthost="relay1", relays=chain),
            expect=("mx-order", "all-delivered", "nothing-altered"),
        ),
        "sim",
    )
    assert result.verdict is Verdict.PASS
    took = [
        node
        for node in ("client", "relay1", "relay2", "mx1")
        for event in result.trace.by_node[node]
        if isinstance(event.body, events.Accepted)
    ]
    assert took == ["client", "relay1", "relay2", "mx1"]


def test_mx_order_fails_where_a_sender_passes_its_smarthost_by() -> None:
    walk = Walk("client", "<m@x>", "example.test", 1, tried=[("mx1.example.test", 10)])
    assert not list(faults_of(walk))
    (told,) = faults_of(walk, "relay1.isp.test")
    assert "tried mx1.example.test, although all goes to relay1.isp.test" in told


def test_queued_at_backup_counts_only_mail_of_the_domain_whose_backup_it_is() -> None:
    """mx2 is primary of second.test: mail for it that waits there waits at no backup."""
    result = run(
        Scenario(
            title="t",
            steps=(
                fault("full", "mailbox-full", "mx2", address=DORA),
                send("batch", to=DORA),
                eventually(deferred("batch"), within="60s"),
            ),
            topology=Topology(domains=(SWAPPED,)),
            expect=("queued-at-backup",),
        ),
        "sim",
    )
    assert result.verdict is Verdict.FAIL
    assert "nothing waited at a backup" in [finding.text for finding in result.findings]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"domains": (SWAPPED, SWAPPED)}, "'second.test' is domain 1 of `domains` already"),
        ({"relays": (RelayHost("r", "example.test", ("client",)),)}, "is the first of the lab's"),
        ({"relays": (RelayHost("mx1", "isp.test", ("client",)),)}, "two nodes are called 'mx1'"),
        (
            {"domains": (MailDomain("b.test", (Exchange("mx1", 10, ip=(6,)),)),)},
            "what 'mx1' is stands where it is named first",
        ),
        (
            {"domains": (MailDomain("b.test", (Exchange("mx1", 10), Exchange("mx1", 20))),)},
            "'mx1' is an exchange of b.test already",
        ),
        ({"recipients": (DORA,), "domains": (SWAPPED,)}, "is no address at example.test"),
        (
            {
                "domains": tuple(
                    MailDomain(f"d{n}.test", tuple(Exchange(f"h{n}-{k}", k) for k in range(16)))
                    for n in range(16)
                )
            },
            "it has 260 nodes, and its network addresses for 253",
        ),
    ],
)
def test_what_cannot_be_is_told(changes: dict[str, object], text: str) -> None:
    topology = msgspec.structs.replace(Topology(), **changes)
    with pytest.raises(UsageError, match=text):
        make_plan("lab", "run", topology, AddressPlan("10.0.0.0/24"))
