"""`mxlab send` as a user who logs in, on local processes, as somebody at a terminal does it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.command import Lab

TOPOLOGY = """
mx: [{host: mx1, preference: 10}]
submission:
  users: {alice: the white rabbit, eve: sesame}
  senders: {eve: eve@client.test}
"""
SEND = ("send", "--to", "bob@example.test")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("handing-in"))
    file = tmp_path_factory.mktemp("shape") / "lab.yaml"
    file.write_text(TOPOLOGY)
    made("up", "--topology", str(file))
    yield made
    made("down")


@pytest.mark.parametrize("more", [(), ("--port", "465"), ("--auth", "login")])
def test_who_is_known_hands_in_and_the_conversation_is_shown(
    lab: Lab, more: tuple[str, ...]
) -> None:
    said = lab(*SEND, "--auth-user", "alice", *more, "--show-dialog", "--wait")
    assert "235 2.7.0 Authentication successful" in said
    assert said.rstrip().endswith("delivered")
    assert "rabbit" not in said


@pytest.mark.parametrize(
    ("more", "reply"),
    [
        (("--port", "587"), "530 5.7.0"),
        (("--auth-user", "alice", "--auth-password", "x"), "535 5.7.8"),
        (("--auth-user", "alice", "--no-tls"), "538 5.7.11"),
        (("--auth-user", "eve"), "550 5.7.1 <alice@client.test> is no address of yours"),
    ],
)
def test_who_is_not_is_refused(lab: Lab, more: tuple[str, ...], reply: str) -> None:
    ran = lab.run(*SEND, *more, "--wait", code=1)
    assert f"refused when it was handed in: {reply}" in ran.output
    found: Any = lab.json(*SEND, *more, code=1)
    (one,) = found["sent"]
    assert one["queue_id"] == ""
    assert one["refused"]["bob@example.test"].startswith(reply)


def test_a_refusal_has_a_biography_by_its_batch(lab: Lab) -> None:
    lab.run(*SEND, "--auth-user", "alice", "--auth-password", "x", "--batch", "wrong", code=1)
    said = lab("trace", "wrong", "--dialog")
    assert "a program hands it in at client.client.test as alice, as far as auth: 535" in said
    assert "C: AUTH SCRAM-SHA-256 (not shown)" in said
    assert "refuses AUTH from" in lab("logs", "client")


def test_what_is_temporary_is_tried_again(lab: Lab) -> None:
    lab("fault", "client", "reply", "verb=AUTH", "code=454", "first=1")
    ran = lab.run(*SEND, "--auth-user", "alice", code=1)
    assert "454 4.0.0" in ran.output
    lab("heal", "--all")
    lab("fault", "client", "reply", "verb=AUTH", "code=454", "first=1")
    assert "delivered" in lab(*SEND, "--auth-user", "alice", "--tries", "3", "--wait")
    lab("heal", "--all")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--auth-user", "alicia"), "did you mean 'alice'?"),
        (("--port", "25"), "--port: 25 is not known here"),
        (("--auth-user", "alice", "--auth", "cram-md5"), "--auth: 'CRAM-MD5' is not known here"),
        (("--auth-password", "x"), "name one by --auth-user"),
        (("--auth-user", "alice", "--tries", "0"), "--tries: expected a whole number >= 1"),
    ],
)
def test_what_is_meant_otherwise_is_said_before(
    lab: Lab, more: tuple[str, ...], words: str
) -> None:
    assert words in lab.run(*SEND, *more, code=2).output
