"""Several clients: each sends for itself, from a domain of its own, by its own habits.

::

    client (client.test) ───┐
    stranger (stranger.test) ┼──> mx1 (example.test)
    slow (slow.test) ────────┘
"""

import msgspec
import pytest

from mxlab import Scenario, deferred, delivered, eventually, fault, heal, mailbox, run, send
from mxlab.backends.sim.backend import SimLab
from mxlab.checks.retry_spacing import spacing
from mxlab.errors import ScenarioError, UnknownName, UsageError
from mxlab.model.patience import Bounds
from mxlab.model.topology import Client, Exchange, RelayHost, Topology
from mxlab.operate.nodes import sender_called
from mxlab.plan.checked import checked_topology
from mxlab.plan.plan import AddressPlan, make_plan, search_list
from mxlab.scenario.describe import lab_of
from mxlab.scenario.lint import remarks
from mxlab_services.config import PATIENCE, ClientConfig
from mxlab_services.control.requests import Submit
from mxlab_services.events import MailboxDelivered, Tried
from tests.support.stories import in_lab, mail_of, until

STRANGER = Client("stranger", "stranger.test")
SLOW = Client("slow", "slow.test", schedule="postfix", jitter=0.5, concurrency=1)
SHAPE = Topology(mx=(Exchange("mx1", 10),), clients=(STRANGER, SLOW))
BOB, SAM, ALICE = "bob@example.test", "sam@stranger.test", "alice@client.test"


def test_each_client_has_its_domain_and_its_habits() -> None:
    plan = make_plan("lab", "run", SHAPE, AddressPlan("10.0.0.0/24"))
    clients = {node.node: node for node in plan.nodes if isinstance(node, ClientConfig)}
    assert list(clients) == ["client", "stranger", "slow"]
    assert [one.local_domains for one in clients.values()] == [
        ["client.test"], ["stranger.test"], ["slow.test"]
    ]  # fmt: skip
    slow, usual = clients["slow"], clients["stranger"]
    assert (slow.retry.schedule, slow.retry.jitter) == ("postfix", 0.5)
    assert (usual.retry.schedule, usual.retry.jitter) == ("workshop", None)
    assert slow.limits.destination_concurrency == 1
    assert slow.hostname == "slow.slow.test"
    own = [one.submission_networks[0] for one in clients.values()]
    assert own == [f"{one.address}/32" for one in clients.values()]
    assert search_list(SHAPE, "slow")[0] == "slow.test"


def test_a_client_has_its_own_patience_and_limits() -> None:
    own = msgspec.structs.replace(
        SLOW, timeouts="rfc", limits=Bounds(message_size=1000, destination_concurrency=7)
    )
    shape = msgspec.structs.replace(SHAPE, clients=(STRANGER, own), timeouts="postfix")
    plan = make_plan("lab", "run", shape, AddressPlan("10.0.0.0/24"))
    slow, usual = plan.node("slow"), plan.node("stranger")
    assert isinstance(slow, ClientConfig)
    assert isinstance(usual, ClientConfig)
    assert (slow.timeouts, usual.timeouts) == (PATIENCE["rfc"], PATIENCE["postfix"])
    assert (slow.limits.message_size, slow.limits.destination_concurrency) == (1000, 1)
    with pytest.raises(UsageError, match="patient"):
        checked_topology(Topology(clients=(Client("a", "a.test", timeouts="patient"),)))


def test_the_lab_without_them_is_as_it_was() -> None:
    alone = make_plan("lab", "run", Topology(), AddressPlan("10.0.0.0/24"))
    more = make_plan("lab", "run", Topology(clients=(STRANGER,)), AddressPlan("10.0.0.0/24"))
    assert [node.node for node in alone.nodes] == ["dns", "mx1", "mx2", "client"]
    assert alone.nodes[1:] == more.nodes[1:4]
    assert b"clients" not in msgspec.json.encode(Topology())


def test_a_subnet_that_is_too_small_is_told() -> None:
    many = tuple(Client(f"c{number}", f"c{number}.test") for number in range(12))
    with pytest.raises(UsageError, match="too small for 16 nodes"):
        make_plan("lab", "run", Topology(clients=many), AddressPlan("10.0.0.0/28"))


async def between_clients(lab: SimLab) -> tuple[int, int]:
    """How many messages lie at alice's and at sam's in the end."""
    await lab.nodes["client"].request(Submit(ALICE, [SAM]))
    await lab.nodes["stranger"].request(Submit(SAM, [ALICE]))
    await until(lab, "stranger", MailboxDelivered)
    await until(lab, "client", MailboxDelivered)
    return len(await mail_of(lab, "client", ALICE)), len(await mail_of(lab, "stranger", SAM))


def test_clients_write_to_each_other() -> None:
    assert in_lab(between_clients, topology=SHAPE) == (1, 1)


def test_a_notification_comes_to_its_senders_own_domain() -> None:
    story = Scenario(
        title="t",
        topology=msgspec.structs.replace(SHAPE, recipients=(BOB,)),
        steps=(
            send("lost", to="nobody@example.test", sender=SAM, via="stranger"),
            eventually(mailbox(SAM, count=1, host="stranger"), within="1m"),
        ),
        expect=("nothing-lost", "failures-notified", "nothing-forged", "queues-empty"),
    )
    assert run(story).exit_code == 0


def test_what_goes_through_one_is_tried_by_that_one() -> None:
    story = Scenario(
        title="t",
        topology=SHAPE,
        steps=(
            send("one", to=BOB, sender=SAM, via="stranger"),
            send("two", to=BOB, sender=ALICE),
            eventually(delivered("one"), within="1m"),
            eventually(delivered("two"), within="1m"),
        ),
        expect=("all-delivered", "duplicates-explained"),
    )
    result = run(story)
    assert result.exit_code == 0
    tried = {
        event.message: event.node
        for event in result.trace.events()
        if isinstance(event.body, Tried)
    }
    sent = {one.batch: one.message for one in result.evidence.submissions}
    assert {batch: tried[message] for batch, message in sent.items()} == {
        "one": "stranger",
        "two": "client",
    }
    record = result.evidence.every_record
    assert [entry.message for entry in record["stranger"]] == [sent["one"]]
    assert [entry.message for entry in record["client"]] == [sent["two"]]
    assert record["slow"] == ()


def test_one_hands_its_mail_to_a_relay_and_the_other_goes_by_mx() -> None:
    relayed = msgspec.structs.replace(STRANGER, smarthost="relay1")
    shape = msgspec.structs.replace(
        SHAPE,
        clients=(relayed, SLOW),
        relays=(RelayHost("relay1", "isp.test", ("stranger",)),),
    )
    story = Scenario(
        title="t",
        topology=shape,
        steps=(
            send("relayed", to=BOB, sender=SAM, via="stranger"),
            send("direct", to=BOB, sender=ALICE),
            eventually(delivered("relayed"), within="1m"),
            eventually(delivered("direct"), within="1m"),
        ),
        expect=("all-delivered", "mx-order"),
    )
    result = run(story)
    assert result.exit_code == 0
    tried = [e for e in result.trace.events() if isinstance(e.body, Tried)]
    way = {event.node: event.body.host for event in tried if isinstance(event.body, Tried)}
    assert way == {
        "stranger": "relay1.isp.test",
        "relay1": "mx1.example.test",
        "client": "mx1.example.test",
    }


def test_a_broken_link_of_one_is_nothing_to_the_other() -> None:
    story = Scenario(
        title="t",
        topology=SHAPE,
        steps=(
            fault("split", "partition", "mx1", peers=["stranger"]),
            send("cut", to=BOB, sender=SAM, via="stranger"),
            send("whole", to=BOB, sender=ALICE),
            eventually(delivered("whole"), within="1m"),
            eventually(deferred("cut"), within="1m"),
            heal("split"),
            eventually(delivered("cut"), within="10m"),
        ),
        expect=("all-delivered", "queued-at-sender", "queues-empty"),
    )
    assert run(story).exit_code == 0


def test_each_ones_retries_are_judged_by_its_own_schedule() -> None:
    story = Scenario(
        title="t",
        topology=SHAPE,
        steps=(
            fault("sick", "reply", "mx1", verb="RCPT", code=451, first=2),
            send("slow", to=BOB, sender="s@slow.test", via="slow"),
            send("quick", to=BOB, sender=SAM, via="stranger"),
            eventually(delivered("slow"), within="1h"),
            heal("sick"),
        ),
        expect=("retry-spacing", "all-delivered", "queued-at-sender"),
    )
    result = run(story)
    assert result.exit_code == 0
    assert result.lab_seconds > 300  # postfix's first wait
    spoilt = msgspec.structs.replace(
        result.evidence,
        topology=msgspec.structs.replace(
            SHAPE, clients=(msgspec.structs.replace(STRANGER, schedule="postfix"), SLOW)
        ),
    )
    assert spacing(result.trace, result.evidence.topology).wrong == []
    (wrong,) = spacing(result.trace, spoilt.topology).wrong
    assert wrong.startswith("stranger: ")


def test_who_is_no_client_is_told_with_the_nearest() -> None:
    story = Scenario(
        title="t",
        topology=SHAPE,
        steps=(send("one", to=BOB, via="stranjer"),),
        expect=("nothing-lost",),
    )
    with pytest.raises(ScenarioError, match="there is no such client"):
        run(story)


def test_lint_knows_which_client_is_down() -> None:
    steps = (
        fault("down", "kill", "stranger"),
        send("one", to=BOB, sender=SAM, via="stranger"),
        send("two", to=BOB, sender=ALICE),
    )
    story = Scenario(title="t", topology=SHAPE, steps=steps, expect=("nothing-lost",))
    said = [one.problem.text for one in remarks(story, []) if one.level == "error"]
    assert said == ["stranger is down (down): nobody is there to send it"]


def test_show_tells_who_sends() -> None:
    told = lab_of(Scenario(title="t", topology=SHAPE, steps=(), expect=()))
    assert "client (of client.test), stranger (of stranger.test) and slow (of slow.test)" in told
    assert "client sends it" in lab_of(Scenario(title="t", steps=(), expect=()))


def test_a_node_that_is_no_client_cannot_send() -> None:
    async def story(lab: SimLab) -> list[str]:
        found = [sender_called(lab, name).config.node for name in (None, "slow")]
        for name in ("mx1", "stranjer"):
            with pytest.raises(UnknownName, match=name):
                sender_called(lab, name)
        return found

    assert in_lab(story, topology=SHAPE) == ["client", "slow"]
