"""The sender is told (RFC 5321 §6.1), however large the message, its header or the number of its
recipients, and however little the report's receiver takes. RET=FULL is a wish (RFC 3461 §4.3)."""

import email
import email.policy

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab_services import events
from mxlab_services.config import Limits
from mxlab_services.message import Pending, Queued, Recipient
from mxlab_services.queue.dsn import SHORT, Fate, Reporter, batches, notification
from mxlab_services.reply import Reply
from tests.support.peers import PLAIN, Peer, take_over
from tests.support.stories import (
    ALICE,
    BOB,
    HOUR,
    TRAVEL,
    Raw,
    Report,
    happened,
    in_lab,
    reconfigure,
    reports,
    until,
)

NO_USER = {"RCPT": ["550 5.1.1 no such user"]}
HEAD = "From: alice@client.test\r\nSubject: large\r\nMessage-ID: <m1@client.test>\r\n"
TEXT = "text/rfc822-headers"
FULL = "message/rfc822"


def lines(size: int, letter: str = "x") -> str:
    return f"{letter * 70}\r\n" * (size // (70 * len(letter.encode()) + 2))


async def submit(
    lab: SimLab, node: str, body: str, *rcpts: str, ret: str = " RET=FULL", head: str = HEAD
) -> None:
    async with Raw(lab, node) as raw:
        await raw.reply()
        named = [f"RCPT TO:<{name}>" for name in rcpts or (BOB,)]
        mail = f"MAIL FROM:<{ALICE}> BODY=8BITMIME{ret}"
        said = await raw.say("EHLO c.test", mail, *named, "DATA", f"{head}\r\n{body}.")
        assert all(reply[0] in "23" for reply in said), said


async def limit(lab: SimLab, node: str, size: int) -> None:
    await reconfigure(lab, node, limits=Limits(message_size=size))


def kinds(report: Report) -> list[str]:
    return [part.get_content_type() for part in report.parts[2:]]


@pytest.mark.parametrize("spare", [0, 500, 1500, 2000])
def test_ret_full_of_nearly_the_size_limit_brings_the_headers_only(spare: int) -> None:
    async def story(lab: SimLab) -> list[Report]:
        for node in ("mx2", "client"):
            await limit(lab, node, 200_000)
        await take_over(lab, "mx1", Peer(NO_USER))
        await submit(lab, "mx2", lines(200_000 - len(HEAD) - 80 - spare))
        await lab.clock.sleep(TRAVEL)
        assert not await happened(lab, "mx2", events.BounceSuppressed)
        return await reports(lab)

    [report] = in_lab(story)
    assert kinds(report) == [TEXT]
    assert "Subject: large" in report.text
    assert (report.status, report.action) == ("5.1.1", "failed")


def test_ret_full_is_granted_where_it_fits() -> None:
    async def story(lab: SimLab) -> list[Report]:
        await take_over(lab, "mx1", Peer(NO_USER))
        await submit(lab, "mx2", lines(150_000))
        await lab.clock.sleep(TRAVEL)
        return await reports(lab)

    [report] = in_lab(story)
    assert kinds(report) == [FULL]
    assert len(report.text) > 150_000


def test_a_receiver_with_a_smaller_size_gets_a_shorter_report_in_its_place() -> None:
    async def story(lab: SimLab) -> tuple[list[Report], list[events.Bounced]]:
        await limit(lab, "client", 100_000)
        await take_over(lab, "mx1", Peer(NO_USER))
        await submit(lab, "mx2", lines(150_000))
        await lab.clock.sleep(TRAVEL)
        return await reports(lab), await happened(lab, "mx2", events.Bounced)

    [report], told = in_lab(story)
    assert kinds(report) == [TEXT]
    assert report.recipients[0]["Final-Recipient"] == f"rfc822; {BOB}"
    assert [event.about for event in told] == ["<m1@client.test>"] * 2
    assert [event.recipients for event in told] == [[BOB]] * 2
    assert len({event.about_queue_id for event in told}) == 1
    assert not report.message.defects


@pytest.mark.parametrize(
    ("script", "extensions"),
    [
        ({"DOT": ["552 5.3.4 too large", ""]}, PLAIN),
        ({"DOT": ["552 5.3.4 too large", "552 too large", ""]}, PLAIN),
        ({}, ("PIPELINING", "SIZE 100000")),
        ({"DOT": ["552 too large", ""]}, ("PIPELINING",)),
    ],
)
def test_a_receiver_that_refuses_the_message_in_the_report_is_told_without(
    script: dict[str, list[str]], extensions: tuple[str, ...]
) -> None:
    async def story(lab: SimLab) -> list[str]:
        await take_over(lab, "mx1", Peer(NO_USER))
        sender = await take_over(lab, "client", Peer(script, extensions))
        await submit(lab, "mx2", lines(3000, "ü"))
        await lab.clock.sleep(TRAVEL)
        return [copy.content.decode() for copy in sender.taken]

    [text] = in_lab(story)
    assert "message/rfc822" not in text
    assert f"Final-Recipient: rfc822; {BOB}" in text
    parsed = email.message_from_string(text, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/report"


def test_a_receiver_that_takes_no_report_at_all_is_asked_three_times_and_no_more() -> None:
    async def story(lab: SimLab) -> tuple[int, int]:
        await take_over(lab, "mx1", Peer(NO_USER))
        sender = await take_over(lab, "client", Peer({"DOT": ["552 5.3.4 too large"]}))
        await submit(lab, "mx2", lines(3000))
        await lab.clock.sleep(HOUR)
        return len(sender.copies), len(await happened(lab, "mx2", events.BounceSuppressed))

    assert in_lab(story) == (3, 3)


def test_a_notification_of_others_is_not_changed_and_not_sent_again() -> None:
    """A backup passes it on as it is (RFC 5321 §3.6.3)."""
    report = (
        "From: Mail Delivery System <MAILER-DAEMON@mx2.example.test>\r\n"
        "Message-ID: <r@x.test>\r\nReceived: by x.test;\r\n\tnow\r\n"
        'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="=_t"\r\n'
    )
    part = "--=_t\r\nContent-Type: {}\r\n\r\nX: y\r\n"
    body = "".join(map(part.format, ("text/plain", "message/delivery-status", "message/rfc822")))

    async def story(lab: SimLab) -> int:
        peer = await take_over(lab, "mx1", Peer({"DOT": ["552 5.3.4 too large"]}))
        async with Raw(lab, "mx2") as raw:
            await raw.reply()
            text = f"{report}\r\n{body}--=_t--\r\n."
            await raw.say("EHLO c.test", "MAIL FROM:<>", f"RCPT TO:<{BOB}>", "DATA", text)
        await lab.clock.sleep(TRAVEL)
        return len(peer.copies)

    assert in_lab(story) == 1


def test_huge_headers_come_back_in_part() -> None:
    async def story(lab: SimLab) -> list[Report]:
        await limit(lab, "client", 70_000)
        await take_over(lab, "mx1", Peer(NO_USER))
        head = HEAD + "".join(f"X-{n}: {'y' * 900}\r\n {'z' * 900}\r\n" for n in range(100))
        await submit(lab, "mx2", "x\r\n", head=head, ret=" RET=HDRS")
        await lab.clock.sleep(TRAVEL)
        return await reports(lab)

    [report] = in_lab(story)
    assert kinds(report) == [TEXT]
    part = report.text.split("text/rfc822-headers")[1]
    assert part.count("\r\nX-") == part.count("\r\n zzz") > 20


def test_many_recipients_make_several_reports_that_any_server_takes() -> None:
    names = [f"{'n' * 50}{number}@example.test" for number in range(300)]

    async def story(lab: SimLab) -> list[Report]:
        await limit(lab, "client", SHORT + 2000)
        await take_over(lab, "mx1", Peer({"RCPT": [f"550 5.1.1 {'no such user ' * 20}"]}))
        await submit(lab, "mx2", "x\r\n", *names)
        await until(lab, "client", events.MailboxDelivered, 3)
        await lab.clock.sleep(TRAVEL)
        return await reports(lab)

    found = in_lab(story)
    told = [r["Final-Recipient"] for report in found for r in report.recipients]
    assert sorted(told) == sorted(f"rfc822; {name}" for name in names)
    assert all(len(report.text) < SHORT + 2000 for report in found)


def test_the_bounce_at_the_submitting_client_reaches_its_own_mailbox() -> None:
    async def story(lab: SimLab) -> list[Report]:
        await limit(lab, "client", 100_000)
        await take_over(lab, "mx1", Peer(NO_USER))
        await take_over(lab, "mx2", Peer(NO_USER))
        async with Raw(lab, "client", lab.nodes["client"].config.address) as raw:
            await raw.reply()
            text = f"{HEAD}\r\n{lines(99_000)}."
            mail = f"MAIL FROM:<{ALICE}> RET=FULL"
            await raw.say("EHLO c.test", mail, f"RCPT TO:<{BOB}>", "DATA", text)
        await until(lab, "client", events.MailboxDelivered)
        return await reports(lab)

    [report] = in_lab(story)
    assert kinds(report) == [TEXT]


@pytest.mark.parametrize("count", [1, 2, 50, 400])
@pytest.mark.parametrize("said", ["no", "no such user " * 100])
@pytest.mark.parametrize("ret", ["", "FULL", "HDRS"])
def test_a_report_without_the_message_is_short(count: int, said: str, ret: str) -> None:
    people = [Recipient(f"{'x' * 60}{n}@example.test", orcpt="rfc822;y") for n in range(count)]
    about = Queued(
        "Q1", "<m1@client.test>", "d", ALICE, 9, 0.0, tuple(map(Pending, people)), ret=ret
    )
    fates = [Fate(one, "failed", Reply(550, "5.1.1", said), "mx1.test", 9.0) for one in people]
    content = HEAD.encode() + b"X: y\r\n" * 20_000 + b"\r\n" + b"body\r\n" * 20_000
    parts = batches(fates)
    assert [fate for part in parts for fate in part] == fates
    for part in parts:
        _, report = notification(about, content, part, Reporter("mx2.test", "t", 9.0), room=SHORT)
        assert len(report) <= SHORT
