"""MAIL and RCPT parsed, and who may send to whom, without a session."""

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxlab_services.message import Recipient
from mxlab_services.reply import Reply
from mxlab_services.smtp.commands import MailFrom, host_name, mail_from, rcpt_to, shown
from mxlab_services.smtp.server.policy import Policy
from tests.support.edge_lab import CONFIG

BOB = "bob@example.test"


def recipient(path: str, *, smtputf8: bool = False) -> str:
    """The address in `path`, or the enhanced code of the refusal."""
    parsed = rcpt_to(f"TO:{path}", extended=True, smtputf8=smtputf8)
    return parsed.address if isinstance(parsed, Recipient) else parsed.enhanced


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("<bob@example.test>", BOB),
        (" <bob@example.test> ", BOB),
        ("<@a.test,@b.test:bob@example.test>", BOB),
        ("<bob+tag=x/y@example.test>", "bob+tag=x/y@example.test"),
        ('<"b ob"@example.test>', '"b ob"@example.test'),
        (r'<"b\"ob>@"@example.test>', r'"b\"ob>@"@example.test'),
        ("<Postmaster>", "Postmaster"),
        ("<bob@[192.0.2.1]>", "bob@[192.0.2.1]"),
        ("<bob@[IPv6:2001:db8::1]>", "bob@[IPv6:2001:db8::1]"),
        ("<b..ob@example.test>", "5.1.3"),
        ("<bob@-x.test>", "5.1.3"),
        ("<bob@[x]>", "5.1.3"),
        ("<bob>", "5.1.3"),
        ("<>", "5.1.3"),
        ("bob@example.test", "5.1.3"),
        ("<bob@example.test", "5.1.3"),
        ("<b\x00b@example.test>", "5.1.3"),
        ("<b\udcffb@example.test>", "5.1.3"),
        ("<jürgen@example.test>", "5.6.7"),
        (f"<{'x' * 65}@example.test>", "5.1.3"),
        (f"<bob@{'x' * 64}.test>", "5.1.3"),
        (f"<bob@{'x.' * 130}test>", "5.1.3"),
    ],
)
def test_paths_are_parsed_as_rfc_5321_has_them(path: str, address: str) -> None:
    assert recipient(path) == address


def test_b7_smtputf8_allows_letters_and_no_controls() -> None:
    assert recipient("<jürgen@bücher.test>", smtputf8=True) == "jürgen@bücher.test"
    assert recipient("<j\u0085n@example.test>", smtputf8=True) == "5.1.3"


def test_dsn_parameters_are_kept_as_given() -> None:
    mail = mail_from("FROM:<> RET=hdrs ENVID=QQ+2B SIZE=9 BODY=8bitmime", extended=True)
    assert mail == MailFrom("", 9, True, False, "HDRS", "QQ+2B")
    parsed = rcpt_to(
        f"TO:<{BOB}> NOTIFY=success,delay ORCPT=rfc822;Bob+2B@x.test", extended=True, smtputf8=False
    )
    assert parsed == Recipient(BOB, "SUCCESS,DELAY", "rfc822;Bob+2B@x.test")


@pytest.mark.parametrize(
    "text",
    ["<" + '"' * 2000, "<" + '"a' * 1000 + ">x", "<" + '"\\' * 1000, " " * 2000 + "x", "<@" * 1000],
)
def test_no_path_takes_long_to_refuse(text: str) -> None:
    began = time.perf_counter()
    assert isinstance(mail_from(f"FROM:{text}", extended=True), Reply)
    assert time.perf_counter() - began < 0.5


@given(text=st.text(max_size=80), extended=st.booleans())
def test_any_argument_gives_a_value_or_a_reply(text: str, extended: bool) -> None:
    for prefix in ("", "FROM:<", "FROM:<a@b.test> ", "FROM:<a@b.test> ENVID="):
        parsed = mail_from(prefix + text, extended=extended)
        if isinstance(parsed, Reply):
            assert parsed.code in (501, 553, 555)
            str(parsed).encode()
        else:
            assert parsed.sender.isprintable()
    assert host_name(text).isascii()
    assert len(shown(text)) <= 40


def test_e1_a_peer_of_the_submission_networks_may_send_anywhere() -> None:
    policy = Policy(msgspec.structs.replace(CONFIG, submission_networks=["192.0.2.0/24"]))
    assert policy.judge("x@far.test", "192.0.2.7") is None
    assert policy.judge("x@far.test", "::ffff:192.0.2.7") is None
    for stranger in ("198.51.100.1", "::1", ""):
        refusal = policy.judge("x@far.test", stranger)
        assert refusal is not None
        assert refusal.enhanced == "5.7.1"


def test_e2_known_users_are_known_however_they_are_written() -> None:
    policy = Policy(msgspec.structs.replace(CONFIG, recipients=[BOB]))
    for written in (
        BOB,
        "BOB@Example.Test",
        '"bob"@example.test',
        r'"\bob"@example.test',
    ):
        address = policy.complete(written)
        assert address == written  # which is what is sent on
        assert policy.judge(address, "") is None
    assert policy.judge(policy.complete('"b ob"@example.test'), "") is not None
    assert policy.judge(policy.complete("postmaster"), "") is None
