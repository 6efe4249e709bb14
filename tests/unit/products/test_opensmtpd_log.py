"""The grammar of OpenSMTPD's log, on lines that OpenSMTPD 6.8.0p2 wrote in a lab."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxlab_services.products.base import (
    Arrived,
    Ended,
    Expired,
    Fact,
    HostTried,
    Left,
    Refusal,
    Serving,
    Told,
)
from mxlab_services.products.opensmtpd_log import NoticeFound, OpensmtpdGrammar

LINES = (Path(__file__).parent / "logs" / "opensmtpd-faults.log").read_text().splitlines()
MX1, AT = "mx1.example.test", "10.83.7.3"
BOB, CAROL, ALICE = "bob@example.test", "carol@example.test", "alice@client.test"
SESSION = "5a42d78f00000001"
OTHERS = (
    "warn: purge_task: opendir: No such file or directory",
    "warn: smtpd: parent_forward_open: /var/lib/mxlab/mailboxes/bob@example.test: No such file or "
    "directory",
    "warn: Couldn't find backup preference for [relay:example.test,smtp,backup=mx2.example.test,"
    "heloname=mx2.example.test]: error 3",
    "smtp-out: Failed to resolve MX for [relay:example.test,smtp]: Domain does not exist",
    "smtp-out: No valid route for [connector:[]->[relay:example.test,smtp],0x0]",
    f'{SESSION} smtp bad-input result="500 5.5.1 Invalid command: Line too long"',
    f"{SESSION} smtp tls ciphers=TLSv1.3:TLS_AES_256_GCM_SHA384:256",
    f"{SESSION} mta tls ciphers=TLSv1.3:TLS_AES_256_GCM_SHA384:256",
    f'{SESSION} mta server-cert-check result="failure"',
    f"{SESSION} mta ssl_check_name: no match for 'mx1.example.test' in cert",
)


class FakeSpool:
    """What the queue holds, as a test has it."""

    def __init__(
        self,
        envelopes: dict[str, set[str]] | None = None,
        notices: dict[str, NoticeFound] | None = None,
    ) -> None:
        self._envelopes, self._notices = envelopes or {}, notices or {}

    def envelopes(self, queue_id: str) -> set[str]:
        return set(self._envelopes.get(queue_id, ()))

    def notice(self, queue_id: str) -> NoticeFound | None:
        return self._notices.get(queue_id)


EMPTY = FakeSpool()


def read(*lines: str, spool: FakeSpool = EMPTY) -> list[Fact]:
    grammar, found = OpensmtpdGrammar(spool), list[Fact]()
    for line in lines:
        facts = grammar.read(line)
        assert facts is not None, line
        found += facts
    return found


def story(queue_id: str) -> list[Fact]:
    """What the whole log says of a message."""
    return [fact for fact in read(*LINES) if fact.queue_id == queue_id]


def delivery(envelope: str, result: str, stat: str, session: str = SESSION, to: str = BOB) -> str:
    return (
        f"{session} mta delivery evpid={envelope} from=<{ALICE}> to=<{to}> rcpt=<-> "
        f'source="10.83.7.5" relay="10.83.7.3 (mx1)" delay=0s result="{result}" stat="{stat}"'
    )


def test_every_line_that_was_seen_is_understood() -> None:
    read(*LINES, *OTHERS)


def test_it_tells_its_version_and_that_it_serves() -> None:
    grammar = OpensmtpdGrammar(EMPTY)
    assert grammar.read("info: OpenSMTPD 6.8.0p2 starting") == (Serving(),)
    assert grammar.version == "6.8.0p2"


def test_a_message_that_is_passed_on() -> None:
    reply = "250 2.0.0 Ok: queued as 25XKRX6WZWBRZ"
    assert story("7f1133dc") == [
        Arrived(
            "7f1133dc", sender=ALICE, recipients=(BOB,), size=389, peer="10.83.7.5",
            protocol="ESMTP",
        ),
        Ended("7f1133dc", recipient=BOB, outcome="delivered", reply=reply, host=MX1, address=AT),
        Left("7f1133dc"),
    ]  # fmt: skip


def test_a_recipient_that_is_put_off_and_delivered_later() -> None:
    bob = [fact for fact in story("bf4774d7") if getattr(fact, "recipient", BOB) == BOB]
    again = [
        HostTried("bf4774d7", host=MX1, address=AT, stage="rcpt", reply="450 4.0.0 later"),
        Ended(
            "bf4774d7", recipient=BOB, outcome="deferred", reply="450 4.0.0 later", host=MX1,
            address=AT,
        ),
    ]  # fmt: skip
    assert bob[1:5] == again + again
    assert [type(fact).__name__ for fact in bob[5:]] == ["Ended", "Left"]


@pytest.mark.parametrize(
    ("queue_id", "stage", "reply"),
    [
        ("a871f005", "mail", "451 4.0.0 refused by a fault of the lab"),
        ("f4779717", "data", "451 4.0.0 refused by a fault of the lab"),
        ("4c792c35", "dot", "554 5.0.0 refused by a fault of the lab"),
    ],
)
def test_a_reply_to_the_whole_message_is_told_of_once(
    queue_id: str, stage: str, reply: str
) -> None:
    facts = story(queue_id)
    assert facts[1] == HostTried(queue_id, host=MX1, address=AT, stage=stage, reply=reply)
    assert [type(fact).__name__ for fact in facts[1:4]] == ["HostTried", "Ended", "Ended"]


def test_a_failure_is_told_to_its_sender_by_what_the_notification_says() -> None:
    about = {
        "14a558e1": NoticeFound("7ed7b883", "failed"),
        "c89d4ea4": NoticeFound("4c792c35", "failed"),
    }
    facts = read(*LINES, spool=FakeSpool(notices=about))
    told = [fact for fact in facts if isinstance(fact, Told)]
    assert told == [
        Told("7ed7b883", action="failed", notification="14a558e1"),
        Told("4c792c35", action="failed", notification="c89d4ea4"),
    ]
    arrived = [fact for fact in facts if isinstance(fact, Arrived) and fact.about]
    assert [(one.about, one.sender, one.protocol) for one in arrived] == [
        ("7ed7b883", "", "local"), ("4c792c35", "", "local"),
    ]  # fmt: skip


def test_a_notification_that_has_left_already_is_about_the_only_one_that_failed() -> None:
    assert [fact.queue_id for fact in read(*LINES) if isinstance(fact, Told)] == [
        "7ed7b883", "4c792c35",
    ]  # fmt: skip


def test_which_of_two_failures_was_told_of_is_not_guessed() -> None:
    facts = read(
        delivery("aaaaaaaa00000001", "PermFail", "550 gone"),
        delivery("bbbbbbbb00000001", "PermFail", "550 gone"),
        f"{SESSION} smtp connected address=local host=mx2.example.test",
        f"{SESSION} smtp message msgid=cccccccc size=9 nrcpt=1 proto=ESMTP",
        f"{SESSION} smtp envelope evpid=cccccccc00000001 from=<> to=<{ALICE}>",
    )
    assert not [fact for fact in facts if isinstance(fact, Told)]
    assert facts[-1] == Arrived("cccccccc", recipients=(ALICE,), size=9, protocol="local")


def test_a_delay_is_told() -> None:
    facts = read(
        f"{SESSION} smtp connected address=local host=mx2.example.test",
        f"{SESSION} smtp message msgid=cccccccc size=9 nrcpt=1 proto=ESMTP",
        f"{SESSION} smtp envelope evpid=cccccccc00000001 from=<> to=<{ALICE}>",
        spool=FakeSpool(notices={"cccccccc": NoticeFound("aaaaaaaa", "delayed")}),
    )
    assert facts[-1] == Told("aaaaaaaa", action="delayed", notification="cccccccc")


def test_the_reply_to_the_dot_that_never_came_leaves_it_unknown() -> None:
    facts = read(*LINES)
    why = "Connection closed unexpectedly"
    broke = HostTried(host=MX1, address=AT, stage="dot", reply=why)
    ends = [
        Ended("9cf628aa", recipient=to, outcome="unknown", reply=why, host=MX1, address=AT)
        for to in (CAROL, BOB)
    ]
    at = facts.index(broke)
    assert facts[at : at + 3] == [broke, *ends]


def test_a_host_that_greets_with_a_refusal_was_tried() -> None:
    reply = "554 refused by a fault of the lab"
    assert HostTried(host=MX1, address=AT, stage="greeting", reply=reply) in read(*LINES)


def test_a_host_that_cannot_be_reached_is_called_by_its_address_or_as_it_called_itself() -> None:
    connecting = f"{SESSION} mta connecting address=smtp://10.83.7.9:25 host=(null)"
    error = f"{SESSION} mta error reason=IO Error: No route to host"
    assert read(connecting, error) == [
        HostTried(host="10.83.7.9", address="10.83.7.9", stage="connect", reply="No route to host")
    ]
    seen = [*LINES, connecting.replace("7.9", "7.3"), error]
    assert read(*seen)[-1] == HostTried(
        host=MX1, address=AT, stage="connect", reply="No route to host"
    )


def test_a_message_that_no_host_could_be_tried_for() -> None:
    line = delivery("aaaaaaaa00000001", "TempFail", "Network error on destination MXs", "0" * 16)
    assert read(line) == [
        Ended(
            "aaaaaaaa", recipient=BOB, outcome="deferred", reply="Network error on destination MXs"
        )
    ]


def test_a_mailbox() -> None:
    line = (
        f"{SESSION} mda delivery evpid=9c62794a976a44e4 from=<{ALICE}> to=<{BOB}> "
        "rcpt=<team@example.test> user=u1 delay=0s result=Ok stat=Delivered"
    )
    spool = FakeSpool({"9c62794a": {"9c62794a976a44e4", "9c62794a00000001"}})
    ended = Ended("9c62794a", recipient=BOB, outcome="delivered", reply="", mailbox=True)
    assert read(line, spool=spool) == [ended]
    assert read(line) == [ended, Left("9c62794a")]


def test_a_message_of_a_life_before_leaves_when_all_its_envelopes_have_ended() -> None:
    one, two = "aaaaaaaa00000001", "aaaaaaaa00000002"
    lines = delivery(one, "Ok", "250 Ok"), delivery(two, "Ok", "250 Ok", to=CAROL)
    facts = read(*lines, spool=FakeSpool({"aaaaaaaa": {one, two}}))
    assert [type(fact).__name__ for fact in facts] == ["Ended", "Ended", "Left"]


def test_a_lifetime_that_is_over() -> None:
    line = (
        f"relay: Expire for aaaaaaaa00000001: from=<{ALICE}>, to=<{BOB}>, rcpt=<->, delay=1m, "
        "stat=Envelope expired"
    )
    notice = (
        f"{SESSION} smtp connected address=local host=mx2.example.test",
        f"{SESSION} smtp message msgid=cccccccc size=9 nrcpt=1 proto=ESMTP",
        f"{SESSION} smtp envelope evpid=cccccccc00000001 from=<> to=<{ALICE}>",
    )
    facts = read(line, *notice)
    assert facts[:2] == [Expired("aaaaaaaa"), Left("aaaaaaaa")]
    assert facts[-1] == Told("aaaaaaaa", action="failed", notification="cccccccc")


def test_what_an_operator_removes_is_told_to_nobody() -> None:
    line = (
        f"relay: Remove for aaaaaaaa00000001: from=<{ALICE}>, to=<{BOB}>, rcpt=<->, delay=1m, "
        "stat=Removed by administrator"
    )
    assert read(line) == [Left("aaaaaaaa")]


@pytest.mark.parametrize(
    ("command", "reply", "refusal"),
    [
        (
            "RCPT TO:<nobody@example.test>", "550 Invalid recipient: <nobody@example.test>",
            Refusal(
                verb="RCPT", reply="550 Invalid recipient: <nobody@example.test>",
                peer="10.83.7.5", recipient="nobody@example.test",
            ),
        ),
        (
            'RCPT TO:<"odd one"@example.test>', "501 5.1.3 Recipient address syntax error",
            Refusal(
                verb="RCPT", reply="501 5.1.3 Recipient address syntax error", peer="10.83.7.5",
                recipient='"odd one"@example.test',
            ),
        ),
        (
            "ETRN example.test", "500 5.5.1 Invalid command: Command unrecognized",
            Refusal(
                verb="ETRN", reply="500 5.5.1 Invalid command: Command unrecognized",
                peer="10.83.7.5",
            ),
        ),
        (
            "", "552 5.3.4 Message too big for system",
            Refusal(verb="DATA", reply="552 5.3.4 Message too big for system", peer="10.83.7.5"),
        ),
    ],
)  # fmt: skip
def test_a_refusal(command: str, reply: str, refusal: Refusal) -> None:
    connected = f"{SESSION} smtp connected address=10.83.7.5 host=client.client.test"
    line = f'{SESSION} smtp failed-command command="{command}" result="{reply}"'
    assert read(connected, line) == [refusal]


@pytest.mark.parametrize(
    "line",
    [
        "something else", f"{SESSION} smtp sings", f"{SESSION} mta sings", f"{SESSION} mda sings",
        delivery("aaaaaaaa00000001", "Perhaps", "250 Ok"), "warn: lost child: smtpd",
        f"{SESSION} smtp envelope evpid=aaaaaaaa00000001 from=<> to=<{BOB}>",
    ],
)  # fmt: skip
def test_a_line_that_is_not_understood(line: str) -> None:
    assert OpensmtpdGrammar(EMPTY).read(line) is None


@given(st.lists(st.one_of(st.text(), st.sampled_from(LINES), st.sampled_from(OTHERS))))
def test_any_lines_in_any_order_are_read(lines: list[str]) -> None:
    grammar = OpensmtpdGrammar(EMPTY)
    for line in lines:
        grammar.read(line)


@given(st.sampled_from(LINES), st.integers(0, 300), st.integers(0, 300), st.text(max_size=9))
def test_a_line_that_was_cut_or_spoilt_is_read(line: str, at: int, to: int, text: str) -> None:
    OpensmtpdGrammar(EMPTY).read(line[:at] + text + line[to:])
