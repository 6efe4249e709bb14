"""MAIL-RULES E, through whole simulated labs: the policy of a backup, and the classic mistakes.

::

    anybody ──> mx2 (backup) ──> mx1 (primary)
      who may hand in what, for whom; and what a wrong pair of them does to mail
"""

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab.model.topology import Exchange
from mxlab_services import events
from mxlab_services.config import Limits
from mxlab_services.faults.kinds import Greylist
from mxlab_services.faults.requests import FaultSet
from tests.support.peers import Peer, take_over
from tests.support.stories import (
    ALICE,
    BOB,
    HOUR,
    TRAVEL,
    Raw,
    address_of,
    count,
    happened,
    in_lab,
    mail_of,
    queue,
    reconfigure,
    reports,
    route,
    send,
    talk,
    until,
    zone,
)

FORGED = "victim@client.test"
SPAM = "Subject: spam\r\nMessage-ID: <s@client.test>\r\n\r\nbuy\r\n"
KNOWN = (BOB,)


async def inject(lab: SimLab, node: str, recipient: str, body: str = SPAM) -> list[str]:
    """A stranger's message, with somebody else's address as its sender."""
    return await talk(
        lab, node, "EHLO c.test", f"MAIL FROM:<{FORGED}>", f"RCPT TO:<{recipient}>", "DATA",
        f"{body}.",
    )  # fmt: skip


async def backscatter(lab: SimLab) -> int:
    return await count(lab, "mx2", "backscatter")


# --- E1 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", ["mx1", "mx2", "client"])
@pytest.mark.parametrize(
    "address",
    ["x@other.test", "@example.test:x@other.test", "x@sub.example.test", "x@[10.53.25.2]"],
)
def test_e1_relays_for_the_listed_domains_only(node: str, address: str) -> None:
    async def story(lab: SimLab) -> str:
        opening = "EHLO c.test", "MAIL FROM:<a@c.test>"
        return (await talk(lab, node, *opening, f"RCPT TO:<{address}>"))[-1]

    assert in_lab(story).startswith("550 5.7.1")


@pytest.mark.parametrize("local", ["x%other.test", '"x@other.test"', "other.test!x"])
def test_e1_a_route_in_the_local_part_is_no_way_out(local: str) -> None:
    async def story(lab: SimLab) -> list[str]:
        await inject(lab, "mx2", f"{local}@example.test")
        await lab.clock.sleep(TRAVEL)
        hosts = [event.host for event in await happened(lab, "mx2", events.Tried)]
        hosts += [event.host for event in await happened(lab, "mx1", events.Tried)]
        return hosts

    assert set(in_lab(story)) <= {"mx1.example.test"}


def test_e1_postmaster_and_the_domain_are_taken_in_any_case() -> None:
    async def story(lab: SimLab) -> list[str]:
        opening = ["EHLO c.test", "MAIL FROM:<a@c.test>"]
        return await talk(
            lab, "mx2", *opening, "RCPT TO:<Postmaster>", "RCPT TO:<POSTMASTER@EXAMPLE.TEST>",
            "RCPT TO:<Bob@Example.Test>",
        )  # fmt: skip

    replies = in_lab(story, recipients=KNOWN)[3:]
    assert [reply[:3] for reply in replies] == ["250", "250", "250"]


def test_e1_an_address_in_any_case_is_one_mailbox() -> None:
    async def story(lab: SimLab) -> list[int]:
        for address in (BOB, "Bob@Example.Test", "BOB@EXAMPLE.TEST"):
            await send(lab, address)
        await until(lab, "mx1", events.MailboxDelivered, 3)
        return [len(await mail_of(lab, "mx1", address)) for address in (BOB, "BOB@example.test")]

    assert in_lab(story, recipients=KNOWN) == [3, 3]


# --- E2 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("primary", ["up", "down"])
def test_e2_unknown_user_is_refused_at_the_backup(primary: str) -> None:
    async def story(lab: SimLab) -> tuple[str, int, int]:
        if primary == "down":
            await lab.nodes["mx1"].kill()
        said = await inject(lab, "mx2", "nobody@example.test")
        await lab.clock.sleep(HOUR)
        return said[3], len(await reports(lab, FORGED)), await backscatter(lab)

    said, told, counted = in_lab(story, recipients=KNOWN)
    assert said.startswith("550 5.1.1")
    assert (told, counted) == (0, 0)


def test_e2_without_the_list_the_backup_bounces_to_the_forged_sender_and_counts_it() -> None:
    async def story(lab: SimLab) -> tuple[str, str, int]:
        said = await inject(lab, "mx2", "nobody@example.test")
        await lab.clock.sleep(TRAVEL)
        [report] = await reports(lab, FORGED)
        assert report.fields["Reporting-MTA"] == "dns; mx2.example.test"
        return said[-1], report.status, await backscatter(lab)

    said, status, counted = in_lab(story, recipients=KNOWN, backup_knows_recipients=False)
    assert said.startswith("250")
    assert (status, counted) == ("5.1.1", 1)


def test_e2_a_known_user_is_taken_by_both() -> None:
    async def story(lab: SimLab) -> list[str]:
        return [(await inject(lab, node, BOB))[-1][:3] for node in ("mx1", "mx2")]

    assert in_lab(story, recipients=KNOWN) == ["250", "250"]


# --- E3 -------------------------------------------------------------------------------------------


def test_e3_the_backup_adds_one_received_field_and_changes_nothing_else() -> None:
    content = (
        "X-Odd:   spaces \t and tabs  \r\n"
        "received: by old with SMTP; Mon, 1 Jan 2029 00:00 +0000\r\n"
        "Subject: =?utf-8?q?x?=\r\n\r\n.dots\r\n\r\n trailing \r\n\r\n"
    )

    async def story(lab: SimLab) -> str:
        await lab.nodes["mx1"].kill()
        stuffed = content.replace("\r\n.", "\r\n..")
        await inject(lab, "mx2", BOB, stuffed)
        await lab.nodes["mx1"].start()
        await until(lab, "mx1", events.MailboxDelivered)
        [text] = await mail_of(lab, "mx1", BOB)
        return text

    text = in_lab(story)
    assert text.endswith(content)
    fields = text.removesuffix(content).replace("\r\n\t", " ").splitlines()
    assert fields[0] == f"Return-Path: <{FORGED}>"  # the envelope's sender is kept
    assert fields[1] == f"Delivered-To: {BOB}"
    assert fields[2].startswith(
        "Received: from mx2.example.test ([10.53.25.4]) by mx1.example.test"
    )
    assert fields[3].startswith(
        "Received: from c.test ([10.53.25.200]) by mx2.example.test with ESMTP"
    )
    assert len(fields) == 4


# --- E4 -------------------------------------------------------------------------------------------

ABUSE = {
    "relaying": ["MAIL FROM:<a@c.test>", "RCPT TO:<x@other.test>"],
    "unknown user": ["MAIL FROM:<a@c.test>", "RCPT TO:<nobody@example.test>"],
    "bad address": ["MAIL FROM:<a@c.test>", "RCPT TO:<b b@example.test>"],
    "bad sender": ["MAIL FROM:<a@c..test>"],
    "too large": ["MAIL FROM:<a@c.test> SIZE=999999999"],
    "bad parameter": ["MAIL FROM:<a@c.test> XYZZY=1"],
    "bare line end": ["MAIL FROM:<a@c.test>", f"RCPT TO:<{BOB}>", "DATA", "x\ny\r\n."],
    "long line": ["MAIL FROM:<a@c.test>", f"RCPT TO:<{BOB}>", "DATA", "x" * 1000 + "\r\n."],
    "loop": [
        "MAIL FROM:<a@c.test>", f"RCPT TO:<{BOB}>", "DATA", "Received: x\r\n" * 100 + "\r\nx\r\n.",
    ],
    "no MAIL": [f"RCPT TO:<{BOB}>"],
}  # fmt: skip


@pytest.mark.parametrize("how", ABUSE)
def test_e4_the_backup_filters_as_the_primary_does(how: str) -> None:
    async def story(lab: SimLab) -> list[str]:
        said = []
        for node in ("mx1", "mx2"):
            replies = await talk(lab, node, "EHLO c.test", *ABUSE[how])
            said.append(replies[-1].replace(node, "mx"))
        return said

    at_primary, at_backup = in_lab(story, recipients=KNOWN)
    assert at_primary == at_backup
    assert at_primary[0] == "5"


@pytest.mark.parametrize(("exempt", "wait"), [(True, TRAVEL), (False, 300.0)])
def test_e4_a_greylisting_primary_exempts_its_backup(exempt: bool, wait: float) -> None:
    """The sender, put off by the primary, goes to the backup at once; without the exemption the
    backup is kept waiting once more."""

    async def story(lab: SimLab) -> float:
        spared = (address_of(lab, "mx2"),) if exempt else ()
        await lab.nodes["mx1"].request(FaultSet("grey", Greylist("mx1", 60.0, spared)))
        began = lab.clock.time()
        await send(lab)
        delivered = await until(lab, "mx1", events.MailboxDelivered)
        assert len(await happened(lab, "mx2", events.Accepted)) == 1
        return delivered.at - began

    took = in_lab(story, schedule="postfix")
    assert wait - TRAVEL <= took <= wait + TRAVEL


# --- E5: mistakes ---------------------------------------------------------------------------------


def test_e5_a_sole_mx_that_believes_it_is_a_backup_bounces_everything_as_a_loop() -> None:
    async def story(lab: SimLab) -> tuple[list[str], str, str]:
        await send(lab, count=2)
        await lab.clock.sleep(TRAVEL)
        report = await route(lab, "mx1")
        return [r.status for r in await reports(lab)], report.status, report.reply

    bounced, status, reply = in_lab(story, mx=(Exchange("mx1", 10, "backup"),))
    assert bounced == ["5.4.6", "5.4.6"]
    assert (status, reply) == ("fail", "554 5.4.6 mail for example.test loops back to myself")


def test_e5_equal_primaries_share_the_mail_between_two_sets_of_mailboxes() -> None:
    async def story(lab: SimLab) -> list[int]:
        for _ in range(20):
            await send(lab)
            await lab.clock.sleep(5)
        return [len(await mail_of(lab, node, BOB)) for node in ("mx1", "mx2")]

    one, two = in_lab(story, mx=(Exchange("mx1", 10), Exchange("mx2", 10)))
    assert one + two == 20
    assert min(one, two) > 0


def test_e5_equal_backups_loop() -> None:
    async def story(lab: SimLab) -> list[str]:
        await send(lab, count=3)
        await lab.clock.sleep(TRAVEL)
        return [report.status for report in await reports(lab)]

    mx = (Exchange("mx1", 10, "backup"), Exchange("mx2", 10, "backup"))
    assert in_lab(story, mx=mx) == ["5.4.6"] * 3


def test_e5_a_primary_at_the_backups_preference_is_never_reached_from_it() -> None:
    """The backup discards its equals: mail that comes to it first is lost to a loop."""

    async def story(lab: SimLab) -> tuple[set[str], int]:
        for _ in range(12):
            await send(lab)
            await lab.clock.sleep(5)
        bounced = await reports(lab)
        arrived = await mail_of(lab, "mx1", BOB)
        return {report.status for report in bounced}, len(arrived) + len(bounced)

    mx = (Exchange("mx1", 10), Exchange("mx2", 10, "backup"))
    assert in_lab(story, mx=mx) == ({"5.4.6"}, 12)


@pytest.mark.parametrize("why", ["unknown user", "size", "content"])
def test_e5_a_primary_that_rejects_what_the_backup_accepted_makes_backscatter(why: str) -> None:
    async def story(lab: SimLab) -> tuple[str, int]:
        recipient, body = BOB, SPAM
        match why:
            case "unknown user":
                recipient = "nobody@example.test"
            case "size":
                await reconfigure(lab, "mx1", limits=Limits(message_size=1000), recipients=None)
                body = SPAM + "x\r\n" * 500
            case "content":
                await take_over(lab, "mx1", Peer({"DOT": ["554 5.7.1 looks like spam"]}))
        said = await inject(lab, "mx2", recipient, body)
        assert said[-1].startswith("250")
        await lab.clock.sleep(TRAVEL)
        [report] = await reports(lab, FORGED)
        return report.status, await backscatter(lab)

    status, counted = in_lab(story, recipients=KNOWN, backup_knows_recipients=False)
    assert counted == 1
    assert status == {"unknown user": "5.1.1", "size": "5.3.4", "content": "5.7.1"}[why]


def test_e5_an_mx_to_a_cname_works_with_a_warning() -> None:
    async def story(lab: SimLab) -> list[str]:
        await zone(lab, "@ MX 10 mail", "mail CNAME mx1")
        await send(lab)
        await until(lab, "mx1", events.MailboxDelivered)
        return (await route(lab, "client")).decisions

    assert any("an MX must not name one (RFC 2181 §10.3)" in line for line in in_lab(story))


def test_e5_no_address_for_the_primary_sends_all_to_the_backup_which_waits() -> None:
    async def story(lab: SimLab) -> str:
        await zone(lab, without=("mx1 A",))
        await send(lab)
        await until(lab, "mx2", events.Deferred)
        [entry] = await queue(lab, "mx2")
        await lab.clock.sleep(2 * HOUR)
        assert not await reports(lab, ALICE)
        await zone(lab, f"mx1 A {address_of(lab, 'mx1')}", without=())
        await until(lab, "mx1", events.MailboxDelivered)
        return entry.recipients[0].delay_reason

    assert in_lab(story).startswith("451 4.4.4")


def test_e5_a_backup_left_out_of_dns_still_sends_what_it_holds() -> None:
    async def story(lab: SimLab) -> int:
        await lab.nodes["mx1"].kill()
        await send(lab)
        await lab.clock.sleep(10)
        await zone(lab, "@ MX 10 mx1")
        await lab.nodes["mx1"].start()
        await until(lab, "mx1", events.MailboxDelivered)
        async with Raw(lab, "mx2") as raw:
            assert (await raw.reply()).startswith("220")
        return len(await queue(lab, "mx2"))

    assert in_lab(story) == 0
