"""Delivery status notifications: MAIL-RULES D, read back with the standard library's parser."""

import email
import email.policy
from email.message import EmailMessage

import pytest

from mxlab_services.message import Envelope, Pending, Queued, Recipient
from mxlab_services.queue.dsn import Fate, Reporter, notification, status_of, wanted
from mxlab_services.reply import Reply

CONTENT = (
    b"Received: by mx2.example.test id Q1\r\nFrom: alice@client.test\r\nSubject: hi\r\n"
    b"Message-ID: <m1@client.test>\r\n\r\nThe body.\r\n"
)
NOW = 1_900_000_000.0
REPORTER = Reporter("mx2.example.test", "tok.1", NOW)
BOB = Recipient("bob@example.test", orcpt="rfc822;Bob@example.test")
NO_USER = Reply(550, "5.1.1", "no such user")


def queued(**changes: str) -> Queued:
    fields = {"sender": "alice@client.test", "ret": "", "envid": "env-1"} | changes
    return Queued(
        "Q1", "<m1@client.test>", "d", fields["sender"], len(CONTENT), NOW - 3600, (Pending(BOB),),
        ret=fields["ret"], envid=fields["envid"],
    )  # fmt: skip


def failed(recipient: Recipient = BOB, reply: Reply = NO_USER) -> Fate:
    return Fate(recipient, "failed", reply, "mx1.example.test", NOW)


def parsed(report: tuple[Envelope, bytes]) -> tuple[EmailMessage, list[EmailMessage]]:
    message = email.message_from_bytes(report[1], policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    parts = list(message.iter_parts())
    assert all(isinstance(part, EmailMessage) for part in parts)
    return message, [part for part in parts if isinstance(part, EmailMessage)]


def status_text(report: tuple[Envelope, bytes]) -> str:
    return report[1].partition(b"delivery-status\r\n")[2].partition(b"\r\n--=_")[0].decode()


def test_d1_the_reverse_path_is_null_and_it_goes_to_the_sender() -> None:
    envelope, _ = notification(queued(), CONTENT, [failed()], REPORTER)
    assert envelope.sender == ""
    assert [recipient.address for recipient in envelope.recipients] == ["alice@client.test"]


def test_d1_nothing_is_due_about_a_null_sender_or_against_notify() -> None:
    assert wanted("alice@client.test", failed())
    assert not wanted("", failed())
    assert not wanted("alice@client.test", failed(Recipient("bob@x.test", notify="NEVER")))
    assert not wanted("alice@client.test", failed(Recipient("bob@x.test", notify="SUCCESS,DELAY")))


def test_d3_success_is_told_only_where_notify_asks() -> None:
    plain = Fate(BOB, "delivered", Reply(250, "2.1.5", "ok"))
    asked = Fate(Recipient("bob@x.test", notify="SUCCESS,FAILURE"), "delivered", plain.reply)
    assert not wanted("alice@client.test", plain)
    assert wanted("alice@client.test", asked)
    assert not wanted("alice@client.test", Fate(asked.recipient, "delayed", asked.reply))


def test_d2_a_report_has_three_parts_and_the_fields_of_rfc_3464() -> None:
    report = notification(queued(), CONTENT, [failed()], REPORTER)
    message, parts = parsed(report)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<tok.1@mx2.example.test>"
    assert message["References"] == "<m1@client.test>"
    assert [part.get_content_type() for part in parts] == [
        "text/plain", "message/delivery-status", "message/rfc822",
    ]  # fmt: skip
    assert not message.defects
    first, second = (part.strip() for part in status_text(report).strip().split("\r\n\r\n"))
    assert first.splitlines() == [
        "Reporting-MTA: dns; mx2.example.test",
        "Original-Envelope-Id: env-1",
        "Arrival-Date: Sun, 17 Mar 2030 16:46:40 +0000",
    ]
    assert second.splitlines() == [
        "Original-Recipient: rfc822;Bob@example.test",
        "Final-Recipient: rfc822; bob@example.test",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx1.example.test",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "Last-Attempt-Date: Sun, 17 Mar 2030 17:46:40 +0000",
    ]


def test_d2_a_delay_tells_until_when_it_is_tried() -> None:
    fate = Fate(BOB, "delayed", Reply(0, "", "connection refused"))
    report = notification(queued(), CONTENT, [fate], REPORTER, NOW + 86400)
    status = status_text(report)
    assert "Action: delayed\r\nStatus: 4.4.1\r\n" in status
    assert "Diagnostic-Code: x-network; connection refused" in status
    assert "Will-Retry-Until: Mon, 18 Mar 2030 17:46:40 +0000" in status
    assert "Last-Attempt-Date" not in status  # it was never tried


@pytest.mark.parametrize(
    ("ret", "kind"), [("", "message/rfc822"), ("FULL", "message/rfc822"), ("HDRS", "headers")]
)
def test_d2_ret_decides_how_much_comes_back(ret: str, kind: str) -> None:
    _, content = notification(queued(ret=ret), CONTENT, [failed()], REPORTER)
    assert (b"The body." in content) == (kind != "headers")
    assert b"Subject: hi" in content


def test_d2_a_large_message_comes_back_as_its_headers() -> None:
    large = CONTENT + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 2000
    assert len(notification(queued(), large, [failed()], REPORTER)[1]) < 3000
    assert len(notification(queued(ret="FULL"), large, [failed()], REPORTER)[1]) > len(large)


def test_a_reply_cannot_break_out_of_its_field_or_line() -> None:
    reply = Reply(550, "5.0.0", "no\r\nAction: delivered\r\n\r\n" + "x" * 5000)
    _, content = notification(queued(), CONTENT, [failed(reply=reply)], REPORTER)
    assert b"\r\nAction: delivered" not in content
    lines = content.split(b"\r\n")
    assert max(len(line) for line in lines) <= 998
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_eight_bit_content_is_declared() -> None:
    content8 = CONTENT + b"gr\xc3\xbc\xc3\x9fe\r\n"
    envelope, content = notification(queued(), content8, [failed()], REPORTER)
    assert envelope.eightbit
    assert not envelope.smtputf8
    assert content.count(b"Content-Transfer-Encoding: 8bit") == 4


def test_addresses_in_utf8_are_reported_as_rfc_6533_says() -> None:
    fate = failed(Recipient("jörg@example.test"))
    envelope, content = notification(queued(), CONTENT, [fate], REPORTER)
    assert envelope.smtputf8
    assert b"message/global-delivery-status" in content
    assert "Final-Recipient: utf-8; jörg@example.test".encode() in content


def test_a_status_has_the_class_of_its_action() -> None:
    assert status_of(Fate(BOB, "failed", Reply(554, "", "x"))) == "5.0.0"
    assert status_of(Fate(BOB, "failed", Reply(450, "4.2.0", "x"))) == "5.0.0"
    assert status_of(Fate(BOB, "delivered", Reply(250, "2.1.5", "x"))) == "2.1.5"


def test_the_same_input_gives_the_same_bytes() -> None:
    assert notification(queued(), CONTENT, [failed()], REPORTER) == notification(
        queued(), CONTENT, [failed()], REPORTER
    )
