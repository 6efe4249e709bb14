"""MAIL-RULES D, through whole simulated labs: what senders are told, and when.

::

    client ──> mx2 ──x mx1
      ^         └── it failed, it is late, it arrived (only if asked): a report
      └─────────────── to the reverse-path, from <>
"""

import email
import email.policy
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab.backends.sim.node import EPOCH
from mxlab.errors import Refused
from mxlab_services import events
from tests.support.peers import Peer, close_port, take_over
from tests.support.stories import (
    ALICE,
    ALONE,
    BOB,
    CAROL,
    DAY,
    HOUR,
    TRAVEL,
    Raw,
    Report,
    count,
    happened,
    in_lab,
    mail_of,
    queue,
    reconfigure,
    reports,
    send,
    until,
)

NO_USER = Peer({"RCPT": ["550 5.1.1 no such user"]})
BODY = "Subject: hello\r\nMessage-ID: <m1@client.test>\r\n\r\nTop secret.\r\n"


async def submit(
    lab: SimLab,
    node: str,
    *rcpts: str,
    mail: str = f"MAIL FROM:<{ALICE}>",
    body: str = BODY,
) -> str:
    """Hand a message to a node by SMTP, with parameters as they are; answers the last reply."""
    async with Raw(lab, node) as raw:
        await raw.reply()
        said = await raw.say("EHLO c.test", mail, *rcpts, "DATA", f"{body}.")
        assert all(reply[0] in "23" for reply in said), said
        return said[-1]


async def settled(lab: SimLab) -> None:
    await lab.clock.sleep(TRAVEL)


# --- D1 -------------------------------------------------------------------------------------------


def test_d1_a_notification_has_the_null_reverse_path_and_goes_to_the_sender() -> None:
    async def story(lab: SimLab) -> tuple[str, list[str]]:
        await take_over(lab, "mx1", Peer({"DOT": ["554 5.6.0 no"]}))
        await submit(lab, "mx2", f"RCPT TO:<{BOB}>")
        await settled(lab)
        accepted = await happened(lab, "client", events.Accepted)
        return (await mail_of(lab, "client", ALICE))[0], [event.sender for event in accepted]

    text, senders = in_lab(story)
    assert text.startswith("Return-Path: <>\r\n")
    assert senders == [""]
    assert "Auto-Submitted: auto-replied\r\n" in text


def test_d1_never_about_a_message_with_the_null_reverse_path() -> None:
    async def story(lab: SimLab) -> list[events.BounceSuppressed]:
        await take_over(lab, "mx1", Peer({"DOT": ["554 5.6.0 no"]}))
        await submit(lab, "mx2", f"RCPT TO:<{BOB}>", mail="MAIL FROM:<>")
        await settled(lab)
        assert not await happened(lab, "mx2", events.Bounced)
        assert await queue(lab, "mx2") == []
        return await happened(lab, "mx2", events.BounceSuppressed)

    [suppressed] = in_lab(story)
    assert (suppressed.recipients, suppressed.reason) == ([BOB], "null reverse-path")


def test_d1_no_delay_is_told_to_a_null_reverse_path() -> None:
    async def story(lab: SimLab) -> list[events.Bounced]:
        await lab.nodes["mx1"].kill()
        await submit(lab, "mx2", f"RCPT TO:<{BOB}>", mail="MAIL FROM:<>")
        await lab.clock.sleep(5 * DAY)
        assert await queue(lab, "mx2") == []
        return await happened(lab, "mx2", events.Bounced)

    assert in_lab(story, schedule="opensmtpd") == []


def test_d1_never_an_error_for_an_error() -> None:
    """The notification itself cannot be delivered: it ends there."""

    async def story(lab: SimLab) -> tuple[int, int]:
        await take_over(lab, "mx1", NO_USER)
        await submit(lab, "mx2", f"RCPT TO:<{BOB}>", mail="MAIL FROM:<forged@nowhere.client.test>")
        await lab.clock.sleep(DAY)
        assert await queue(lab, "mx2") == []
        bounced = await happened(lab, "mx2", events.Bounced)
        return len(bounced), len(await happened(lab, "mx2", events.BounceSuppressed))

    assert in_lab(story) == (1, 1)


# --- D2 -------------------------------------------------------------------------------------------


def test_d2_a_failure_report_has_every_field_of_rfc_3464() -> None:
    async def story(lab: SimLab) -> Report:
        await take_over(lab, "mx1", NO_USER)
        mail = f"MAIL FROM:<{ALICE}> RET=FULL ENVID=QQ314159"
        rcpt = f"RCPT TO:<{BOB}> NOTIFY=FAILURE ORCPT=rfc822;Bob@orig.test"
        await submit(lab, "mx2", rcpt, mail=mail)
        await settled(lab)
        [report] = await reports(lab)
        return report

    report = in_lab(story)
    message = report.message
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    kinds = [part.get_content_type() for part in report.parts]
    assert kinds == ["text/plain", "message/delivery-status", "message/rfc822"]
    assert message["To"] == ALICE
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["References"] == "<m1@client.test>"
    assert set(report.fields) == {"Reporting-MTA", "Original-Envelope-Id", "Arrival-Date"}
    assert report.fields["Reporting-MTA"] == "dns; mx2.example.test"
    assert report.fields["Original-Envelope-Id"] == "QQ314159"
    [recipient] = report.recipients
    date = recipient.pop("Last-Attempt-Date")
    assert parsedate_to_datetime(date).timestamp() == pytest.approx(EPOCH, abs=2)
    assert recipient == {
        "Original-Recipient": "rfc822;Bob@orig.test",
        "Final-Recipient": f"rfc822; {BOB}",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx1.example.test",
        "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
    }
    assert "Top secret." in report.text


def test_d2_recipients_that_failed_together_share_a_report() -> None:
    async def story(lab: SimLab) -> list[list[str]]:
        script = {f"RCPT {BOB}": ["550 5.1.1 no"], f"RCPT {CAROL}": ["550 5.2.1 disabled"]}
        await take_over(lab, "mx1", Peer(script))
        await send(lab, BOB, CAROL, "dave@example.test")
        await settled(lab)
        return [[r["Status"] for r in report.recipients] for report in await reports(lab)]

    assert in_lab(story) == [["5.1.1", "5.2.1"]]


@pytest.mark.parametrize(("ret", "whole"), [("HDRS", False), ("FULL", True)])
def test_d2_ret_decides_how_much_comes_back(ret: str, whole: bool) -> None:
    async def story(lab: SimLab) -> str:
        await take_over(lab, "mx1", NO_USER)
        await submit(lab, "mx2", f"RCPT TO:<{BOB}>", mail=f"MAIL FROM:<{ALICE}> RET={ret}")
        await settled(lab)
        return (await reports(lab))[0].text

    assert ("Top secret." in in_lab(story)) is whole


def test_d2_a_delay_report_says_until_when_and_when_it_was_last_tried() -> None:
    async def story(lab: SimLab) -> tuple[dict[str, str], float, float]:
        await close_port(lab, "mx1")
        await submit(lab, "client", f"RCPT TO:<{BOB}>")
        await lab.clock.sleep(5 * HOUR)
        [report] = await reports(lab)
        last = [event.at async for event in lab.nodes["client"].events(follow=False)
                if event.kind == "relay.tried" and event.at < EPOCH + 4 * HOUR]  # fmt: skip
        return report.recipients[0], last[-1], EPOCH + 4 * DAY

    async def allowed(lab: SimLab) -> tuple[dict[str, str], float, float]:
        await reconfigure(lab, "client", submission_networks=["10.53.25.0/24"])
        return await story(lab)

    recipient, last, until_when = in_lab(allowed, mx=ALONE, schedule="opensmtpd")
    assert recipient["Action"] == "delayed"
    assert recipient["Status"].startswith("4.")
    told = parsedate_to_datetime(recipient["Will-Retry-Until"]).timestamp()
    assert told == pytest.approx(until_when, abs=5)
    tried = parsedate_to_datetime(recipient["Last-Attempt-Date"]).timestamp()
    assert tried == pytest.approx(last, abs=2)


def test_d2_a_delay_report_names_the_host_and_its_reply() -> None:
    async def story(lab: SimLab) -> dict[str, str]:
        await take_over(lab, "mx1", Peer({"RCPT": ["450 4.2.1 mailbox busy"]}))
        await send(lab)
        await lab.clock.sleep(5 * HOUR)
        [report] = await reports(lab)
        return report.recipients[0]

    recipient = in_lab(story, mx=ALONE, schedule="opensmtpd")
    assert recipient["Status"] == "4.2.1"
    assert recipient["Remote-MTA"] == "dns; mx1.example.test"
    assert recipient["Diagnostic-Code"] == "smtp; 450 4.2.1 mailbox busy"


def test_d2_an_expiry_report_tells_the_last_attempt_and_its_reason() -> None:
    async def story(lab: SimLab) -> tuple[dict[str, str], float]:
        await close_port(lab, "mx1")
        await send(lab)
        await until(lab, "client", events.Bounced, like=lambda e: e.action == "failed")
        await settled(lab)
        last = [event.at async for event in lab.nodes["client"].events(follow=False)
                if event.kind == "relay.tried"]  # fmt: skip
        return (await reports(lab))[-1].recipients[0], last[-1]

    recipient, last = in_lab(story, mx=ALONE, schedule="opensmtpd")
    assert recipient["Status"] == "5.4.7"
    assert "Connection refused" in recipient["Diagnostic-Code"]
    tried = parsedate_to_datetime(recipient["Last-Attempt-Date"]).timestamp()
    assert tried == pytest.approx(last, abs=2)


def test_d2_a_report_about_an_address_in_utf_8_is_global() -> None:
    async def story(lab: SimLab) -> list[str]:
        await take_over(lab, "mx1", Peer({"RCPT": ["550 5.1.1 no"]}, ("SMTPUTF8", "8BITMIME")))
        await send(lab, "jürgen@example.test")
        await settled(lab)
        [text] = await mail_of(lab, "client", ALICE)
        raw = text.encode("utf-8", "surrogateescape")
        parsed = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)
        return [part.get_content_type() for part in parsed.walk()]

    assert "message/global-delivery-status" in in_lab(story)


# --- D3 -------------------------------------------------------------------------------------------


async def told_of_success(lab: SimLab, notify: str) -> list[tuple[str, str]]:
    """Mail through the backup while the primary is down; who reported which action."""
    await lab.nodes["mx1"].kill()
    await submit(lab, "mx2", f"RCPT TO:<{BOB}>{notify}")
    await settled(lab)
    await lab.nodes["mx1"].start()
    await until(lab, "mx1", events.MailboxDelivered)
    await settled(lab)
    return [(r.fields["Reporting-MTA"], r.action) for r in await reports(lab)]


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        ("", []),
        (" NOTIFY=SUCCESS", [("dns; mx1.example.test", "delivered")]),
        (" NOTIFY=SUCCESS,FAILURE,DELAY", [("dns; mx1.example.test", "delivered")]),
        (" NOTIFY=FAILURE,DELAY", []),
        (" NOTIFY=NEVER", []),
    ],
)
def test_d3_success_is_told_where_notify_asks(notify: str, told: list[tuple[str, str]]) -> None:
    assert in_lab(lambda lab: told_of_success(lab, notify)) == told


def test_d3_the_client_asks_at_submission() -> None:
    async def story(lab: SimLab) -> tuple[list[tuple[str, str]], int]:
        await send(lab, notify="success")
        await settled(lab)
        with pytest.raises(Refused, match="notify: NEVER, or some of"):
            await send(lab, notify="NEVER,DELAY")
        told = [(r.fields["Reporting-MTA"], r.action) for r in await reports(lab)]
        return told, await count(lab, "mx1", "backscatter")

    told, backscatter = in_lab(story)
    assert told == [("dns; mx1.example.test", "delivered")]
    assert backscatter == 0  # who asked for it is no victim


def test_d3_where_the_next_host_has_no_dsn_the_last_that_has_tells_that_it_was_relayed() -> None:
    async def story(lab: SimLab) -> list[tuple[str, str, str]]:
        peer = await take_over(lab, "mx1", Peer(extensions=["PIPELINING"]))
        await submit(lab, "mx2", f"RCPT TO:<{BOB}> NOTIFY=SUCCESS")
        await settled(lab)
        assert not any("NOTIFY" in line for line in peer.verbs("RCPT"))
        return [(r.fields["Reporting-MTA"], r.action, r.status) for r in await reports(lab)]

    assert in_lab(story) == [("dns; mx2.example.test", "relayed", "2.0.0")]


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        ("", ["delayed", "failed"]),
        (" NOTIFY=FAILURE", ["failed"]),
        (" NOTIFY=DELAY", ["delayed"]),
        (" NOTIFY=SUCCESS", []),
        (" NOTIFY=NEVER", []),
    ],
)
def test_d3_failure_and_delay_are_told_as_notify_asks(notify: str, told: Sequence[str]) -> None:
    async def story(lab: SimLab) -> list[str]:
        await lab.nodes["mx1"].kill()
        await submit(lab, "mx2", f"RCPT TO:<{BOB}>{notify}")
        await lab.clock.sleep(5 * DAY)
        assert await queue(lab, "mx2") == []
        return [report.action for report in await reports(lab)]

    assert in_lab(story, schedule="opensmtpd") == told


def test_d3_the_report_of_success_holds_no_body() -> None:
    async def story(lab: SimLab) -> str:
        await told_of_success(lab, " NOTIFY=SUCCESS")
        return (await reports(lab))[0].text

    text = in_lab(story)
    assert "Status: 2.1.5" in text
    assert "Top secret." not in text
