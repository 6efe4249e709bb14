"""Addresses in all their forms through whole simulated labs: one mailbox is one mailbox at every
host, in outages, in reports and in the lab's own accounts; and each is sent on as it was given."""

import msgspec
import pytest

from mxlab import Scenario, delivered, eventually, fault, heal, mailbox, queue, run, send
from mxlab.backends.sim.backend import SimLab
from mxlab.errors import Refused, ScenarioError
from mxlab.model.finding import Verdict
from mxlab.model.step import AnyStep
from mxlab.model.topology import Exchange, Topology
from mxlab.runner.result import RunResult
from mxlab_services import events
from mxlab_services.control.requests import Dig, Etrn, MailboxList, QueueFlush, RouteRead
from tests.support.peers import Peer, take_over
from tests.support.stories import (
    ALONE,
    BOB,
    CAROL,
    TRAVEL,
    address_of,
    happened,
    in_lab,
    mail_of,
    reports,
    talk,
    until,
    zone,
)
from tests.support.stories import (
    queue as queue_of,
)
from tests.support.stories import (
    send as submit,
)

OPENING = ("EHLO c.test", "MAIL FROM:<a@c.test> SMTPUTF8")
FORMS = ('"bob"@example.test', r'"b\ob"@EXAMPLE.TEST', "BOB@Example.Test", BOB)
U, A = "bücher.example", "xn--bcher-kva.example"
EXPECT = (
    "nothing-lost", "nothing-forged", "duplicates-explained", "all-delivered", "mx-order",
    "queues-empty",
)  # fmt: skip


def play(*steps: AnyStep, **shape: object) -> RunResult:
    topology = msgspec.structs.replace(Topology(), **shape)
    return run(Scenario(title="t", steps=steps, topology=topology, expect=EXPECT), "sim")


def failures(result: RunResult) -> list[str]:
    return [f.text for f in result.findings if f.verdict is not Verdict.PASS]


# --- one form (RFC 5321 §4.1.2) -------------------------------------------------------------------


@pytest.mark.parametrize("node", ["mx1", "mx2"])
@pytest.mark.parametrize("form", FORMS)
def test_e4_primary_and_backup_know_a_user_in_every_form(node: str, form: str) -> None:
    async def story(lab: SimLab) -> list[str]:
        good, bad = f"RCPT TO:<{form}>", "RCPT TO:<carol@example.test>"
        return (await talk(lab, node, *OPENING, good, bad))[-2:]

    replies = in_lab(story, recipients=('"Bob"@example.test',))
    assert [reply[:9] for reply in replies] == ["250 2.1.5", "550 5.1.1"]


@pytest.mark.parametrize("form", FORMS)
def test_a_quoted_user_gets_his_mail_through_an_outage(form: str) -> None:
    result = play(
        fault("down", "kill", "mx1"),
        send("batch", to=form),
        eventually(queue("mx2", holds="batch"), within="60s"),
        heal("down"),
        eventually(delivered("batch"), within="600s"),
        eventually(mailbox(BOB, count=1), within="10s"),
        recipients=(BOB,),
    )
    assert not failures(result)


def test_one_mailbox_gets_one_copy_however_often_it_is_named() -> None:
    result = play(
        send("batch", to=[*FORMS, CAROL]),
        eventually(delivered("batch"), within="60s"),
        eventually(mailbox('"BOB"@example.test', count=1), within="10s"),
    )
    assert not failures(result)
    assert len(result.evidence.submissions[0].recipients) == 2


@pytest.mark.parametrize("node", ["mx1", "mx2"])
def test_one_copy_of_what_came_by_smtp_too(node: str) -> None:
    async def story(lab: SimLab) -> list[str]:
        rcpts = [f"RCPT TO:<{form}>" for form in (*FORMS, CAROL)]
        await talk(lab, node, *OPENING, *rcpts, "DATA", "Message-ID: <1@c.test>\r\n\r\nx\r\n.")
        await lab.clock.sleep(TRAVEL)
        entries = await lab.nodes["mx1"].request(MailboxList())
        return sorted(entry.address for entry in entries)

    assert in_lab(story) == [BOB, CAROL]


def test_what_is_sent_on_is_the_form_given() -> None:
    async def story(lab: SimLab) -> list[list[str]]:
        peer = await take_over(lab, "mx1", Peer())
        for form in (r'"b\ob"@Example.TEST', '"a b"@example.test', '""@example.test'):
            await submit(lab, form)
        await until(lab, "client", events.Removed, 3)
        return [copy.recipients for copy in peer.copies]

    given = {r'"b\ob"@Example.TEST', '"a b"@example.test', '""@example.test'}
    assert {name for names in in_lab(story) for name in names} == given


@pytest.mark.parametrize("local", ['"a b"', '"a@b"', '""', r'"a\"b"', '"a..b"', '"/../x"', "a/b"])
def test_a_local_part_that_needs_its_quotes_has_a_mailbox(local: str) -> None:
    address = f"{local}@example.test"
    steps = (
        send("batch", to=address), eventually(delivered("batch"), within="60s"),
        eventually(mailbox(address, count=1), within="10s"),
    )  # fmt: skip
    assert not failures(play(*steps))


def test_the_sender_in_quotes_finds_the_report_in_her_own_mailbox() -> None:
    async def story(lab: SimLab) -> tuple[int, bool]:
        await take_over(lab, "mx1", Peer({"RCPT": ["550 5.1.1 no"]}))
        await submit(lab, BOB, sender='"Carol"@CLIENT.test')
        await until(lab, "client", events.MailboxDelivered)
        [report] = await reports(lab, "carol@client.test")
        mailboxes = await lab.nodes["client"].request(MailboxList())
        return len(mailboxes), 'To: "Carol"@CLIENT.test\r\n' in report.text

    assert in_lab(story, mx=ALONE) == (1, True)


def test_a_domain_with_a_final_dot_is_no_domain_in_smtp() -> None:
    async def story(lab: SimLab) -> list[str]:
        return (await talk(lab, "mx1", *OPENING, "RCPT TO:<bob@example.test.>"))[-1:]

    assert in_lab(story)[0].startswith("553 5.1.3 ")


# --- U-labels and A-labels (RFC 5890 §2.3.2.1) ----------------------------------------------------


@pytest.mark.parametrize("domain", [U, A, "BÜCHER.example", "bu\u0308cher.example"])
@pytest.mark.parametrize("known", [f"bob@{U}", f"bob@{A}"])
def test_a_u_label_and_its_a_label_are_one_domain(domain: str, known: str) -> None:
    result = play(
        fault("down", "kill", "mx1"),
        send("batch", to=f"bob@{domain}"),
        eventually(queue("mx2", holds="batch"), within="60s"),
        heal("down"),
        eventually(delivered("batch"), within="600s"),
        eventually(mailbox(f"bob@{U}", count=1), within="10s"),
        eventually(mailbox(f"bob@{A}", count=1), within="10s"),
        domain=U,
        recipients=(known,),
    )
    assert not failures(result)


def test_one_copy_for_both_labels_and_one_queue() -> None:
    async def story(lab: SimLab) -> tuple[list[str], list[str], int]:
        await lab.nodes["mx1"].kill()
        await lab.nodes["mx2"].kill()
        await submit(lab, f"bob@{U}", f"bob@{A}", f"carol@{U}")
        await until(lab, "client", events.Deferred)
        [entry] = await queue_of(lab, "client")
        domains = [e.domain for e in await happened(lab, "client", events.AttemptStarted)]
        flushed = await lab.nodes["client"].request(QueueFlush(site=U))
        return [r.address for r in entry.recipients], domains, flushed

    assert in_lab(story, domain=A) == ([f"bob@{U}", f"carol@{U}"], [A], 1)


@pytest.mark.parametrize("node", ["client", "mx2"])
def test_a_peer_without_smtputf8_gets_the_domain_in_a_labels(node: str) -> None:
    async def story(lab: SimLab) -> list[list[str]]:
        peer = await take_over(lab, "mx1", Peer())
        if node == "client":
            await submit(lab, f"Bob@{U}", f'"a b"@{U}', sender=f"alice@{U}")
        else:
            rcpts = (f"RCPT TO:<Bob@{U}>", f'RCPT TO:<"a b"@{U}>')
            mail = f"MAIL FROM:<alice@{U}> SMTPUTF8"
            await talk(lab, node, "EHLO c.test", mail, *rcpts, "DATA", "Subject: x\r\n\r\nx\r\n.")
        await until(lab, node, events.Removed)
        [copy] = peer.copies
        assert copy.content.isascii()
        return [copy.mail.split()[1:2], copy.recipients]

    assert in_lab(story, domain=A) == [[f"FROM:<alice@{A}>"], [f"Bob@{A}", f'"a b"@{A}']]


def test_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    async def story(lab: SimLab) -> str:
        await take_over(lab, "mx1", Peer())
        await submit(lab, f"jörg@{U}")
        await until(lab, "client", events.MailboxDelivered)
        [report] = await reports(lab)
        return report.status

    assert in_lab(story, domain=A, mx=ALONE) == "5.6.7"


def test_route_dig_zone_and_etrn_take_either_label() -> None:
    async def story(lab: SimLab) -> None:
        client = lab.nodes["client"]
        told = [await client.request(RouteRead(f"bob@{name}")) for name in (U, A)]
        assert told[0].decisions == told[1].decisions
        assert told[0].status == "relay"
        assert "alias" not in " ".join(told[0].decisions)
        assert (await client.request(Dig(U, "MX"))).answers == (
            await client.request(Dig(A, "MX"))
        ).answers
        await zone(lab, "straße A 10.53.25.3", without=(), origin=U)
        assert (await client.request(Dig(f"xn--strae-oqa.{A}"))).rcode == "NOERROR"
        asked = msgspec.json.encode(Etrn(f"mx2.{U}", U))
        report = await lab.nodes["mx1"].request(msgspec.json.decode(asked, type=Etrn))
        assert report.code == 251
        assert f"C: ETRN {A}" in report.dialog

    in_lab(story, domain=A)


@pytest.mark.parametrize("domain", ["♥.example", "ab--ü.example", f"{'ü' * 60}.example"])
def test_a_wrong_label_is_refused_at_every_edge(domain: str) -> None:
    async def story(lab: SimLab) -> list[str]:
        with pytest.raises(Refused, match=r"is no mail address.*no label"):
            await submit(lab, f"bob@{domain}")
        with pytest.raises(Refused, match="no label"):
            await lab.nodes["client"].request(Dig(domain))
        with pytest.raises(Refused, match="no label"):
            await lab.nodes["mx1"].request(Etrn("mx2.example.test", domain))
        return await talk(lab, "mx1", *OPENING, f"RCPT TO:<bob@{domain}>")

    assert in_lab(story)[-1].startswith("553 5.1.3 malformed address: ")
    with pytest.raises(ScenarioError, match="is no mail address"):
        play(send("batch", to=f"bob@{domain}"))


# --- address literals and postmaster (RFC 1123 §5.2.17, RFC 5321 §4.5.1) --------------------------


@pytest.mark.parametrize(
    ("node", "local", "code"),
    [
        ("mx1", "postmaster", "250"), ("mx1", '"POSTmaster"', "250"), ("mx1", "bob", "250"),
        ("mx1", "carol", "550 5.1.1"), ("mx2", "Postmaster", "250"), ("mx2", "bob", "550 5.1.1"),
        ("client", "postmaster", "250"), ("client", "alice", "250"),
    ],
)  # fmt: skip
def test_a_host_takes_mail_for_its_own_address(node: str, local: str, code: str) -> None:
    async def story(lab: SimLab) -> str:
        mine = f"{local}@[{address_of(lab, node)}]"
        mapped = f"{local}@[IPv6:::ffff:{address_of(lab, node)}]"
        others = f"{local}@[{address_of(lab, 'dns')}]"
        rcpts = [f"RCPT TO:<{name}>" for name in (mine, mapped, others)]
        good, same, relaying = (await talk(lab, node, *OPENING, *rcpts))[-3:]
        assert relaying.startswith("550 5.7.1")
        assert good[:9] == same[:9]
        return good

    assert in_lab(story, recipients=(BOB,)).startswith(code)


@pytest.mark.parametrize("node", ["mx1", "mx2"])
@pytest.mark.parametrize("form", ["postmaster", "POSTMASTER", '"Postmaster"@EXAMPLE.test'])
def test_postmaster_is_there_in_any_form(node: str, form: str) -> None:
    async def story(lab: SimLab) -> list[str]:
        text = "Message-ID: <1@c.test>\r\n\r\nx\r\n."
        await talk(lab, node, *OPENING, f"RCPT TO:<{form}>", "DATA", text)
        await until(lab, "mx1", events.MailboxDelivered)
        return await mail_of(lab, "mx1", "postmaster@example.test")

    assert len(in_lab(story, recipients=(BOB,))) == 1


@pytest.mark.parametrize("local", ["bob", "postmaster"])
def test_mail_to_a_literal_is_delivered_there_and_accounted_for(local: str) -> None:
    address = f"{local}@[10.53.25.3]"
    result = play(
        send("batch", to=address),
        eventually(delivered("batch"), within="60s"),
        eventually(mailbox(address, host="mx1", count=1), within="10s"),
    )
    assert not failures(result)


def test_the_backups_own_postmaster_is_delivered_on_the_backup() -> None:
    result = play(
        send("batch", to="postmaster@[10.53.25.4]"),
        eventually(mailbox("postmaster@[10.53.25.4]", host="mx2", count=1), within="60s"),
    )
    assert not failures(result)


# --- an address is tried once in an attempt -------------------------------------------------------


def test_an_address_is_tried_once_in_an_attempt_under_whatever_names() -> None:
    async def story(lab: SimLab) -> tuple[list[str], list[str]]:
        mx1, mx2 = address_of(lab, "mx1"), address_of(lab, "mx2")
        await zone(
            lab, "@ MX 5 one", "@ MX 10 two", "@ MX 10 three", "@ MX 20 mx2",
            *(f"{name} A {mx1}" for name in ("one", "two", "three")),
            *(f"{name} A {mx2}" for name in ("one", "two")),
        )  # fmt: skip
        await take_over(lab, "mx1", Peer({"MAIL": ["451 4.3.0 later"]}))
        await take_over(lab, "mx2", Peer({"MAIL": ["451 4.3.0 later"]}))
        await submit(lab)
        await until(lab, "client", events.Deferred)
        tried = [event.address for event in await happened(lab, "client", events.Tried)]
        route = await lab.nodes["client"].request(RouteRead(BOB))
        return tried, [line for line in route.decisions if "tried already" in line]

    tried, said = in_lab(story)
    assert tried == ["10.53.25.3", "10.53.25.4"]
    assert [line.split(" is discarded")[0] for line in sorted(said)] == [
        "mx2.example.test", "three.example.test", "two.example.test",
    ]  # fmt: skip


def test_mx_order_holds_where_two_exchanges_share_an_address() -> None:
    async def share(lab: SimLab) -> None:
        await zone(lab, "mx1 A 10.53.25.4", without=("mx1 A",))

    from mxlab import python

    result = play(
        python(share),
        send("batch", to=BOB),
        eventually(delivered("batch"), within="60s"),
        mx=(Exchange("mx1", 10, "primary"), Exchange("mx2", 20, "primary")),
    )
    assert not failures(result)


# --- lengths (RFC 5321 §4.5.3.1) ------------------------------------------------------------------


@pytest.mark.parametrize("node", ["mx1", "mx2", "client"])
def test_a_path_that_is_too_long_is_refused_at_every_edge(node: str) -> None:
    long = f"{'x' * 300}@example.test"

    async def story(lab: SimLab) -> list[str]:
        with pytest.raises(Refused, match="the local part has 300 octets; at most 64"):
            await submit(lab, long)
        with pytest.raises(Refused, match="the local part has 300 octets; at most 64"):
            await submit(lab, BOB, sender=long)
        rcpt = ("MAIL FROM:<a@c.test>", f"RCPT TO:<{long}>")
        return await talk(lab, node, "EHLO c.test", f"MAIL FROM:<{long}>", *rcpt)

    replies = in_lab(story)
    assert replies[2].startswith("501 5.1.7 the local part has 300 octets; at most 64")
    assert replies[4].startswith("501 5.1.3 the local part has 300 octets; at most 64")
    with pytest.raises(ScenarioError, match="the local part has 300 octets"):
        play(send("batch", to=long))


def test_the_longest_path_that_is_allowed_arrives() -> None:
    domain = ".".join(["y" * 62, "z" * 62, "w" * 50, "test"])
    address = f"{'x' * 64}@{domain}"
    steps = (send("batch", to=address), eventually(delivered("batch"), within="60s"))
    assert not failures(play(*steps, domain=domain))
