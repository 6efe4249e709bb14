"""Whatever a client sends, the edge answers or closes, logs no traceback, and serves the next."""

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.edge_lab import OPENING, desk

DIALOG = (
    OPENING
    + b"Subject: x\r\n\r\n..hello\r\n.\r\n"
    + b"MAIL FROM:<\xc3\xa9@c.test> SMTPUTF8 SIZE=5 RET=HDRS ENVID=a+2Bb\r\n"
    + b'RCPT TO:<@a,@b:"x y"@example.test> NOTIFY=NEVER ORCPT=rfc822;x@y\r\nDATA\r\n.\r\n'
    + b"ETRN @example.test\r\nVRFY bob\r\nHELP\r\nNOOP x\r\nRSET\r\nHELO d\r\nSTARTTLS\r\n"
)
SNIPPETS = st.sampled_from(
    [b"\r\n.\r\n", b"\n", b"\r", b"\x00", b"<", b">", b'"', b"\\", b"@", b"\xff", b"\xc2\x85",
     b"\xe2\x80\xa8", b"x" * 3000, b"=", b";", b"SIZE=99999999999999999999", b"[IPv6:::1]"]
)  # fmt: skip
CUTS = st.tuples(
    st.integers(0, len(DIALOG)), st.integers(0, 30), st.one_of(SNIPPETS, st.binary(max_size=20))
)


def mutated(cuts: list[tuple[int, int, bytes]]) -> bytes:
    """The dialog with pieces of it replaced."""
    text = DIALOG
    for place, length, piece in cuts:
        text = text[:place] + piece + text[place + length :]
    return text


INPUT = st.one_of(
    st.binary(max_size=400),
    st.lists(CUTS, max_size=4).map(mutated),
    st.lists(
        st.tuples(
            st.sampled_from([b"EHLO", b"MAIL FROM:", b"RCPT TO:", b"DATA", b"ETRN", b"HELO", b""]),
            st.binary(max_size=60),
            st.sampled_from([b"\r\n", b"\n"]),
        ),
        max_size=8,
    ).map(lambda lines: b"".join(verb + b" " + text + end for verb, text, end in lines)),
)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=INPUT, helo=st.booleans())
def test_no_input_makes_a_traceback_or_stops_the_service(
    data: bytes, helo: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> None:
        async with desk(message_size=5000) as made:
            for line in await made.say((b"HELO c\r\n" if helo else b"") + data):
                assert line[:1] in "245" or line[:3] == "354"
                assert not line.startswith("451"), line
            assert await made.is_free()
            for envelope, content, _ in made.taken:
                assert all(recipient.address for recipient in envelope.recipients)
                assert len(content) <= 5000
                assert content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r")

    caplog.clear()
    asyncio.run(talk())
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
