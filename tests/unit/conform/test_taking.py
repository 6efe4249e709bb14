"""Each rule of a server that takes mail: kept by one that keeps them all, and broken by one that is
like it but for that rule."""

from collections.abc import Mapping
from typing import Any

import pytest

from mxlab.conform.content import FALSE_ENDS
from mxlab.conform.rules import TAKING
from mxlab.conform.trying import RuleResult, try_rules, try_server
from mxlab.errors import EnvironmentProblem
from mxlab.plan.tls import Authority
from mxlab_services.smtp.server.listener import server_context
from tests.support.rogue_server import OFFERS, RogueServer, serving

NO_TLS = {"b7-starttls", "b7-starttls-injection", "b7-chunking"}


def says(pattern: str, reply: str) -> dict[str, Any]:
    return {"says": {pattern: reply}}


def lost(_: bytes, __: str) -> None:
    return None


def as_it_is(content: bytes, _: str) -> bytes:
    return content


def changed(content: bytes, word: str) -> bytes:
    text = content.replace(b"first", b"1st").replace(b"  text ", b"text").replace(b"k", b"K")
    head = f"Received: from a by b with {word} id 1; never\r\n"
    return head.encode() + text.replace(b"0123", b"3210").replace(b"xxxx", b"yyyy")


LAX: dict[str, Any] = {"strict": False}
BROKEN: Mapping[str, dict[str, Any]] = {
    "s-greeting": {"greeting": "220 hello"},
    "s-ehlo": says("EHLO", "500 5.5.1 old"),
    "s-helo": says("HELO", "502 5.5.1 new"),
    "s-ehlo-literal": says(r"EHLO \[", "501 5.5.4 a name"),
    "s-ehlo-unverified": says("EHLO nobody", "550 5.7.1 who?"),
    "s-ehlo-empty": says("EHLO$", "cut"),
    "s-ehlo-resets": {"ehlo_resets": False},
    "s-mail-before-ehlo": says("MAIL", "451 4.3.0 later"),
    "s-rcpt-first": says("RCPT", "250 2.1.5 ok"),
    "s-data-first": {"needs_mail": False},
    "s-mail-twice": {"nested": True},
    "s-two-transactions": {"dots": ["250 2.0.0 one", "451 4.3.0 one is enough"]},
    "s-unknown-command": says("XYZZY", "250 2.0.0 done"),
    "s-verbs-any-case": says("rCpT", "500 5.5.2 shout"),
    "s-rset": says("RSET", "250 2.0.0 whatever"),
    "s-noop": says("NOOP", "502 5.5.1 no"),
    "s-vrfy": says("VRFY", "500 5.5.1 no"),
    "s-help": says("HELP", "cut"),
    "s-quit": says("QUIT", "221 2.0.0 stay"),
    "s-no-arguments": says("RSET please", "cut"),
    "s-trailing-space": says("RSET $", "silence"),
    "s-line-ends": says("NOOP\nQUIT", "silence"),
    "s-long-command": says("NOOP x{9999}", "silence"),
    "s-line-of-512": says("NOOP x{400}", "500 5.5.2 too long"),
    "s-pieces": {"packets": True},
    "s-replies": {"line_end": "\n"},
    "s-unknown-parameter": says("MAIL .*XYZZY", "250 2.1.0 ok"),
    "b3-idle": {"idle": 0.1},
    "s-null-path": says("MAIL FROM:<>", "550 5.7.1 no bounces"),
    "s-postmaster": says("RCPT TO:<[Pp]ost[Mm]aster>", "550 5.1.1 nobody"),
    "s-postmaster-domain": says("RCPT TO:<POST", "550 5.1.1 nobody"),
    "s-domain-any-case": says("RCPT TO:<bob@EX", "550 5.1.1 nobody"),
    "s-user-any-case": says("RCPT TO:<BOB", "cut"),
    "s-quoted-user": says('RCPT TO:<"', "501 5.1.3 quotes"),
    "s-source-route": says("RCPT TO:<@", "silence"),
    "s-address-literal": says(r"RCPT .*\[", "501 5.1.3 brackets"),
    "s-malformed-path": says("RCPT TO:<@>", "250 2.1.5 ok"),
    "s-space-before-path": says("MAIL FROM: ", "451 4.3.0 later"),
    "s-bare-path": says("MAIL FROM:a", "451 4.3.0 later"),
    "s-user-of-64": says("RCPT TO:<u", "501 5.1.3 long"),
    "s-path-too-long": says("RCPT TO:<u", "250 2.1.5 ok"),
    "e1-relay": says("RCPT .*elsewhere", "250 2.1.5 ok"),
    "e1-percent": says("RCPT .*%", "250 2.1.5 ok"),
    "e2-unknown": says("RCPT TO:<nobody", "cut"),
    "e2-unknown-alone": {"rcpt_after_refusal": False},
    "b6-bare-lf": {**LAX, "passes": as_it_is},
    "b6-bare-cr": {**LAX, "passes": as_it_is},
    "b7-dots": {"passes": lost},
    "b7-line-of-998": {"passes": changed},
    "b7-line-too-long": {**LAX, "dot": "451 4.3.0 later"},
    "b7-message-of-64k": {"passes": changed},
    "b2-one-reply": {"dot": "250 2.0.0 one\n250 2.0.0 two"},
    "s-empty-message": {"dot": "cut"},
    "s-no-headers": {"dot": "cut"},
    "s-double-headers": {"passes": changed},
    "e3-received": {"passes": as_it_is},
    "e3-received-smtp": {"passes": lambda content, _: changed(content, "ESMTP")},
    "e3-unchanged": {"passes": changed},
    "s-return-path": {"return_path": b""},
    "s-cut-in-data": {"keeps_pieces": True},
    "c-hops": LAX,
    "b5-hundred": {"most": 99},
    "b5-too-many": {"beyond": "550 5.7.1 enough"},
    "b7-size": says("MAIL .*SIZE=", "451 4.3.0 later"),
    "b7-size-fits": says("MAIL .*SIZE=", "552 5.3.4 too large"),
    "b7-size-malformed": says("MAIL .*SIZE=abc", "cut"),
    "b7-size-of-data": LAX,
    "b7-8bitmime": {"passes": changed},
    "b7-body-unknown": says("MAIL .*BODY=9BIT", "250 2.1.0 ok"),
    "b7-smtputf8": says("MAIL .*SMTPUTF8", "550 5.6.7 no"),
    "b7-enhanced": says("RSET", "250 ok"),
    "b7-pipelining": says("DATA", "503 5.5.1 no"),
    "b7-pipelined-for-nobody": {"needs_mail": False},
    "b7-dsn": says("RCPT .*NEVER$", "555 5.5.4 no"),
    "b7-chunking": says("BDAT", "250 2.0.0 ok"),
    "b7-starttls": {"offers": ("STARTTLS",), **says("STARTTLS", "454 4.7.0 no")},
    **{name: {"ends": (b"\r\n.\r\n", mark), **LAX} for name, mark in FALSE_ENDS.items()},
}


async def tried(rogue: RogueServer, *rules: str) -> dict[str, RuleResult]:
    async with serving(rogue):
        chosen = [TAKING[name] for name in rules or TAKING]
        found = await try_rules(chosen, rogue.subject(), lambda _: None)
    return {one.id: one for one in found}


async def test_a_server_that_keeps_them_all_is_told_so() -> None:
    found = await tried(RogueServer(idle=1.0, told=1.0))
    assert {one.id: one for one in found.values() if one.result != "kept"}.keys() == NO_TLS


@pytest.mark.parametrize("name", sorted(BROKEN))
async def test_a_rule_that_is_broken_is_told(name: str) -> None:
    found = await tried(RogueServer(**BROKEN[name]), name)
    assert (found[name].result, name) == ("broken", name), found[name]
    assert found[name].found


async def test_tls_that_obeys_what_came_before_it_is_told() -> None:
    identity = Authority("lab").issue(["rogue.test"], "127.0.0.1")
    context = server_context(identity.certificate, identity.key)
    rules = ("b7-starttls", "b7-starttls-injection")
    offers = (*OFFERS, "STARTTLS")
    found = await tried(RogueServer(offers=offers, tls=context), *rules)
    assert [found[name].result for name in rules] == ["kept", "kept"]
    found = await tried(RogueServer(offers=offers, tls=context, keeps_injected=True), *rules)
    assert [found[name].result for name in rules] == ["kept", "broken"]


async def test_tls_that_never_begins_is_told() -> None:
    rules = ("b7-starttls", "b7-starttls-injection")
    rogue = RogueServer(offers=(*OFFERS, "STARTTLS"), **says("STARTTLS", "220 2.0.0 go"))
    found = await tried(rogue, *rules)
    assert [found[name].result for name in rules] == ["broken", "unseen"]


def test_each_rule_is_shown_broken() -> None:
    assert TAKING.keys() - BROKEN.keys() == {"b7-starttls-injection"}  # above


@pytest.mark.parametrize(
    ("rule", "rogue", "result"),
    [
        ("s-line-of-512", says("NOOP x", "500 5.5.4 no arguments"), "unseen"),
        ("b3-idle", {"told": 0.1}, "unseen"),  # it may wait longer than it was told to
    ],
)
async def test_what_another_habit_hides_is_no_breach(
    rule: str, rogue: dict[str, Any], result: str
) -> None:
    found = await tried(RogueServer(**rogue), rule)
    assert found[rule].result == result, found[rule]


async def test_a_server_that_says_nothing_is_tried_no_further() -> None:
    rogue = RogueServer(greeting="silence")
    async with serving(rogue):
        greeting, found = await try_server(list(TAKING.values()), rogue.subject(), lambda _: None)
    assert greeting == "no reply in time"
    assert {one.result for one in found[1:]} == {"unseen"}
    assert found[0].result == "broken"


@pytest.mark.parametrize("reply", ["cut", "220-for ever\n" * 20_000, "x" * 70_000, "\x00\xff", "2"])
async def test_no_server_holds_or_breaks_it(reply: str) -> None:
    """Whatever stands in the place of replies, from the first command on."""
    found = await tried(RogueServer(says={".*": reply}), "s-ehlo", "s-rset", "b7-pipelining")
    assert found["s-ehlo"].result == "broken"
    assert found["s-rset"].result == "unseen"


async def test_where_nobody_listens_there_is_a_clear_error() -> None:
    async with serving(RogueServer()) as rogue:
        pass
    with pytest.raises(EnvironmentProblem, match="no connection"):
        await try_server([], rogue.subject(), lambda _: None)


async def test_the_time_for_all_is_bounded() -> None:
    async with serving(RogueServer()) as rogue:
        found = await try_rules(list(TAKING.values()), rogue.subject(), lambda _: None, longest=0)
    assert {one.result for one in found} == {"unseen"}
