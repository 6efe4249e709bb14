"""A `send` step by which a program hands mail in by SMTP, in the simulation."""

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxlab import Scenario, delivered, eventually, fault, heal, mailbox, parallel, run, send
from mxlab.errors import ScenarioError
from mxlab.model.condition import Replied
from mxlab.model.finding import Verdict
from mxlab.model.mechanism import Kill, Segments
from mxlab.model.step import AnyStep, Fault
from mxlab.model.topology import Exchange, Submitters, Topology
from mxlab.runner.result import RunResult
from mxlab_services.events import Accepted, HandedIn
from mxlab_services.faults import kinds
from mxlab_services.faults.base import Mechanism

LAB = Topology(
    mx=(Exchange("mx1", 10),),
    submission=Submitters({"alice": "the white rabbit"}, {"alice": "@client.test"}),
)
CHECKS = (
    "nothing-lost", "nothing-forged", "nothing-altered", "duplicates-explained", "queues-empty",
)  # fmt: skip
BOB = "bob@example.test"


def play(*steps: AnyStep, expect: tuple[Any, ...] = CHECKS) -> RunResult:
    return run(Scenario(title="t", steps=steps, topology=LAB, expect=expect), "sim")


def hand_in(batch: str, to: Any = BOB, count: int = 1, **how: Any) -> AnyStep:
    return send(batch, to=to, count=count, submission={"user": "alice", **how})


def tries(result: RunResult) -> list[HandedIn]:
    return [e.body for e in result.trace.by_node["client"] if isinstance(e.body, HandedIn)]


def failures(result: RunResult) -> list[str]:
    return [f.text for f in result.findings if f.verdict is Verdict.FAIL]


def test_what_was_acknowledged_is_owed_and_on_record() -> None:
    result = play(hand_in("a", count=3), eventually(delivered("a"), within="1m"))
    assert result.verdict is Verdict.PASS
    own = [one for one in result.evidence.record if one.host == "client.client.test"]
    assert [one.outcome for one in own] == ["acked"] * 3
    accepted = [e.body for e in result.trace.by_node["client"] if isinstance(e.body, Accepted)]
    assert {body.protocol for body in accepted} == {"ESMTPSA"}
    assert "rabbit" not in repr(result.trace.by_node)


def test_a_refusal_fails_the_step_unless_the_story_wants_it() -> None:
    plain = play(hand_in("a", count=2, password="queen"))
    (said,) = [text for text in failures(plain) if "handed in" in text]
    assert "2 of 2 refused: 535 5.7.8 Authentication credentials invalid (2)" in said
    wanted = play(
        hand_in("a", password="queen", refused=535),
        hand_in("b"),
        eventually(delivered("b"), within="1m"),
    )
    assert wanted.verdict is Verdict.PASS
    other = play(hand_in("a", password="queen", refused=530))
    assert any("refused with 535" in text for text in failures(other))
    taken = play(hand_in("a", refused=535))
    assert any("1 of 1 taken" in text for text in failures(taken))


def test_some_recipients_may_be_refused() -> None:
    bad = fault("bad", "reply", "client", verb="RCPT", code=550, recipient="eve@example.test")
    both = [BOB, "eve@example.test"]
    result = play(bad, hand_in("a", both))
    assert any("1 of 2 refused: 550" in text for text in failures(result))
    (sent,) = result.evidence.submissions
    assert sent.recipients == (BOB,)


@pytest.mark.parametrize(
    ("kind", "parameters", "stage"),
    [
        ("reply", {"verb": "AUTH", "code": 454, "enhanced": "4.7.0"}, "auth"),
        ("reset", {"verb": "AUTH"}, "auth"),
        ("reply", {"verb": "CONNECT", "code": 421}, "greeting"),
        ("reset", {"verb": "EHLO"}, "ehlo"),
        ("reply", {"verb": "STARTTLS", "code": 454}, "starttls"),
        ("reply", {"verb": "MAIL", "code": 451}, "mail"),
        ("reset", {"verb": "RCPT"}, "rcpt"),
        ("reply", {"verb": "DOT", "code": 452}, "dot"),
    ],
)
def test_what_is_temporary_is_tried_again(
    kind: str, parameters: dict[str, Any], stage: str
) -> None:
    result = play(
        fault("once", kind, "client", first=1, **parameters),
        hand_in("a", tries=2, pause=30.0),
        eventually(delivered("a"), within="1m"),
        expect=(*CHECKS, "faults-struck"),
    )
    assert result.verdict is Verdict.PASS, failures(result)
    first, second = tries(result)
    assert (first.stage, first.attempt, second.stage, second.attempt) == (stage, 1, "done", 2)


def test_what_is_for_good_is_not() -> None:
    result = play(hand_in("a", password="queen", tries=5, refused=535))
    assert len(tries(result)) == 1


def test_a_delay_at_auth_is_of_its_last_reply() -> None:
    result = play(
        fault("slow", "delay", "client", verb="AUTH", seconds=3),
        hand_in("a"),
        eventually(delivered("a"), within="1m"),
        expect=(*CHECKS, "faults-struck"),
    )
    assert result.verdict is Verdict.PASS
    assert result.trace.struck["slow"] == 1
    assert tries(result)[0].seconds >= 3


def test_an_unread_reply_to_the_dot_explains_a_second_copy_and_no_third() -> None:
    result = play(
        fault("cut", "lose-ack", "client", first=1, sender="alice@client.test"),
        hand_in("a", tries=2),
        eventually(mailbox(BOB, count=2), within="1m"),
    )
    assert result.verdict is Verdict.PASS, failures(result)
    assert [one.outcome for one in result.evidence.record if "client" in one.host] == [
        "unknown",
        "acked",
    ]


def test_what_nobody_knows_of_is_neither_owed_nor_forged() -> None:
    """One recipient is taken; then, for the other, the reply to the dot is lost for good."""
    late = fault("late", "reply", "client", verb="RCPT", code=450, recipient="eve@example.test",
                 first=1)  # fmt: skip
    cut = fault("cut", "lose-ack", "client", recipient="eve@example.test")
    eve = eventually(mailbox("eve@example.test", count=1), within="1m")
    result = play(late, cut, hand_in("a", [BOB, "eve@example.test"], tries=2), eve)
    assert any("1 of 2 refused" in text for text in failures(result))
    checks = {f.check: f.verdict for f in result.findings}
    assert checks["nothing-forged"] is Verdict.PASS
    assert checks["nothing-lost"] is Verdict.PASS


def test_a_certificate_that_is_not_the_servers_gets_no_password_until_it_is() -> None:
    result = play(
        fault("other", "tls-broken", "client", how="wrong-name"),
        parallel(
            hand_in("a", tries=50, pause=1.0),
            eventually(Replied("client", 220, verb="STARTTLS", at_least=3), within="1m"),
        ),
        expect=(),
    )
    assert failures(result)
    assert all(one.stage == "starttls" and not _auth(one) for one in tries(result))
    mended = play(
        fault("other", "tls-broken", "client", how="expired", first=3),
        hand_in("a", tries=5),
        heal("other"),
        eventually(delivered("a"), within="1m"),
    )
    assert mended.verdict is Verdict.PASS
    assert [_auth(one) for one in tries(mended)] == [False, False, False, True]


VERBS = get_args(kinds.Verb)
AT_THE_CLIENT: list[Mechanism] = [
    *(kinds.ReplyWith("client", verb, code, chance=0.4) for verb in VERBS for code in (421, 451)),
    *(kinds.Reset("client", verb, chance=0.4) for verb in VERBS),
    *(kinds.Delay("client", verb, 8, nth=2) for verb in VERBS),
    *(kinds.Cut("client", after, chance=0.4) for after in (0, 300, 1500, 2500)),
    *(kinds.TlsBroken("client", how, chance=0.4) for how in ("expired", "handshake-cut")),
    kinds.LoseAck("client", chance=0.4), kinds.Tarpit("client", 2), kinds.Bandwidth("client", 500),
    kinds.DiskFull("client"), kinds.ReadOnly("client"), Kill("client"), Segments("client"),
]  # fmt: skip


@settings(max_examples=30, derandomize=True, deadline=None)
@given(
    st.lists(st.sampled_from(AT_THE_CLIENT), max_size=3),
    st.sampled_from([587, 465]),
    st.sampled_from(["SCRAM-SHA-256", "PLAIN", "LOGIN"]),
    st.integers(1, 6),
)
def test_whatever_goes_wrong_what_was_acknowledged_is_there(
    faults: list[Mechanism], port: int, mechanism: str, times: int
) -> None:
    """Also where a program is refused, or is killed in the middle: then the step fails alone."""
    how = {"port": port, "mechanism": mechanism, "tries": times, "pause": 1.0}
    later = [Fault(f"f{number}", one) for number, one in enumerate(faults) if isinstance(one, Kill)]
    before = [
        Fault(f"f{number}", one) for number, one in enumerate(faults) if not isinstance(one, Kill)
    ]
    both = parallel(hand_in("a", [BOB, "eve@example.test"], 4, **how), *later[:1])
    result = play(*before, both, expect=(*CHECKS, "mx-order", "silence-explained"))
    wrong = [f for f in result.findings if f.verdict is Verdict.FAIL]
    assert all(f.check.startswith("step") for f in wrong), wrong
    assert "rabbit" not in repr(result.trace.by_node)


def _auth(one: HandedIn) -> bool:
    return any(line.startswith("C: AUTH") for line in one.dialog)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"user": "alic"}, "no password of that user"),
        ({"user": None, "password": "x"}, "name the `user`"),
        ({"refused": 250}, "250 refuses nothing"),
        ({"refused": 599}, "second digit"),
    ],
)
def test_what_cannot_be_is_told_before_anything_starts(how: dict[str, Any], words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        play(send("a", to=BOB, submission={"user": "alice", **how}))


def test_it_needs_somebody_who_may() -> None:
    with pytest.raises(ScenarioError, match="nobody may hand in mail in this lab"):
        run(Scenario(title="t", steps=(hand_in("a"),), expect=CHECKS), "sim")
