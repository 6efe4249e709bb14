"""MAIL-RULES B7 as the sender sees it: what is used when the peer offers it, and what happens when
it does not."""

import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from mxlab.plan.tls import Authority
from mxlab_services.config import TlsConfig
from mxlab_services.errors import ConfigError
from mxlab_services.message import Recipient
from mxlab_services.queue.ports import Delivered, Failed, Job, Result
from tests.support.relay_lab import BOB, CONTENT, RelayLab
from tests.support.smtp_sink import Sink

UMLAUT = "jürgen@example.test"


async def sent(lab: RelayLab, job: Job, extensions: Sequence[str]) -> tuple[Result, Sink]:
    sink = Sink(extensions=extensions)
    await lab.hosts(sink)
    [result] = (await lab.deliver(job)).values()
    return result, sink


async def test_b7_pipelining_sends_mail_rcpt_and_data_before_reading(lab: RelayLab) -> None:
    _, sink = await sent(lab, lab.job(), ["PIPELINING"])
    [tried] = lab.tried
    commands = [line.split()[1] for line in tried.dialog if line.startswith("C: ")]
    mail = tried.dialog.index("C: MAIL FROM:<alice@client.test>")
    assert commands[1:4] == ["MAIL", "RCPT", "DATA"]
    assert [line[0] for line in tried.dialog[mail : mail + 6]] == ["C", "C", "C", "S", "S", "S"]
    assert len(sink.received) == 1


async def test_b7_dots_are_stuffed(lab: RelayLab) -> None:
    content = b".\r\n..two\r\nx\r\n.\r\n.end\r\n"
    _, sink = await sent(lab, lab.job(content=content), ["PIPELINING"])
    assert sink.received[0].content == content


async def test_b7_a_dot_at_the_edge_of_a_block_is_stuffed(lab: RelayLab) -> None:
    for shift in range(4):
        content = b"x" * (65534 - shift) + b"\r\n.\r\n" + b"y" * 70_000 + b"\r\n"
        sink = Sink(extensions=["PIPELINING"])
        small = RelayLab()
        small.address = f"127.77.1.{shift + 1}"
        await small.hosts(sink)
        await small.deliver(small.job(content=content))
        assert sink.received[0].content == content
        await small.close()


async def test_b7_size_is_declared_where_offered(lab: RelayLab) -> None:
    _, sink = await sent(lab, lab.job(), ["SIZE"])
    assert sink.received[0].mail == f"MAIL FROM:<alice@client.test> SIZE={len(CONTENT)}"


async def test_b7_a_message_above_the_peers_size_fails_unsent(lab: RelayLab) -> None:
    result, sink = await sent(lab, lab.job(), ["SIZE 10"])
    assert isinstance(result, Failed)
    assert (result.reply.code, result.reply.enhanced) == (552, "5.3.4")
    assert sink.commands("MAIL") == []
    assert lab.notebook.pages == []
    assert lab.outcomes == [("bob", "failed", "mx1")]


async def test_b7_8bitmime_is_declared_where_offered(lab: RelayLab) -> None:
    job = lab.job(content="Subject: x\r\n\r\nä\r\n".encode(), eightbit=True)
    _, sink = await sent(lab, job, ["8BITMIME"])
    assert sink.received[0].mail == "MAIL FROM:<alice@client.test> BODY=8BITMIME"


async def test_b7_8bit_data_is_not_sent_where_8bitmime_is_not_offered(lab: RelayLab) -> None:
    job = lab.job(content="Subject: x\r\n\r\nä\r\n".encode(), eightbit=True)
    result, sink = await sent(lab, job, ["PIPELINING"])
    assert isinstance(result, Failed)
    assert result.reply.enhanced == "5.6.3"
    assert sink.commands("MAIL") == []


async def test_b7_7bit_data_needs_no_8bitmime_whatever_its_sender_said(lab: RelayLab) -> None:
    result, sink = await sent(lab, lab.job(eightbit=True), ["PIPELINING"])
    assert isinstance(result, Delivered)
    assert sink.received[0].mail == "MAIL FROM:<alice@client.test>"


async def test_b7_smtputf8_is_declared_where_offered(lab: RelayLab) -> None:
    _, sink = await sent(lab, lab.job(UMLAUT, smtputf8=True), ["SMTPUTF8", "8BITMIME"])
    assert sink.received[0].mail == "MAIL FROM:<alice@client.test> SMTPUTF8"
    assert sink.received[0].rcpts == [f"RCPT TO:<{UMLAUT}>"]


@pytest.mark.parametrize("what", ["recipient", "sender", "header"])
async def test_b7_smtputf8_needed_and_not_offered_fails(lab: RelayLab, what: str) -> None:
    job = {
        "recipient": lab.job(UMLAUT, smtputf8=True),
        "sender": lab.job(sender=UMLAUT, smtputf8=True),
        "header": lab.job(content="Subject: ü\r\n\r\nx\r\n".encode(), smtputf8=True),
    }[what]
    result, sink = await sent(lab, job, ["8BITMIME"])
    assert isinstance(result, Failed)
    assert (result.reply.code, result.reply.enhanced) == (553, "5.6.7")
    assert sink.commands("MAIL") == []


async def test_b7_smtputf8_asked_for_but_not_needed_is_left_out(lab: RelayLab) -> None:
    result, sink = await sent(lab, lab.job(smtputf8=True), ["8BITMIME"])
    assert isinstance(result, Delivered)
    assert sink.received[0].mail == "MAIL FROM:<alice@client.test>"


async def test_b7_dsn_wishes_are_passed_on_where_offered(lab: RelayLab) -> None:
    bob = Recipient(BOB, "SUCCESS,FAILURE", "rfc822;bob+40x@example.test")
    result, sink = await sent(lab, lab.job(bob, ret="HDRS", envid="QQ314159"), ["DSN"])
    assert isinstance(result, Delivered)
    assert result.carries_dsn
    assert sink.received[0].mail == "MAIL FROM:<alice@client.test> RET=HDRS ENVID=QQ314159"
    assert sink.received[0].rcpts == [
        f"RCPT TO:<{BOB}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob+40x@example.test"
    ]


async def test_b7_dsn_wishes_are_kept_back_where_not_offered(lab: RelayLab) -> None:
    bob = Recipient(BOB, "NEVER", "rfc822;bob@example.test")
    result, sink = await sent(lab, lab.job(bob, ret="FULL", envid="x"), ["PIPELINING"])
    assert isinstance(result, Delivered)
    assert not result.carries_dsn
    assert sink.received[0].mail == "MAIL FROM:<alice@client.test>"
    assert sink.received[0].rcpts == [f"RCPT TO:<{BOB}>"]


async def test_d1_the_null_reverse_path_is_sent_as_such(lab: RelayLab) -> None:
    _, sink = await sent(lab, lab.job(sender=""), ["PIPELINING"])
    assert sink.received[0].mail == "MAIL FROM:<>"


async def test_b7_enhanced_codes_count_only_where_they_match(lab: RelayLab) -> None:
    await lab.hosts(Sink({"MAIL": ["550 4.1.1 odd"]}))
    result = await lab.one()
    assert isinstance(result, Failed)
    assert (result.reply.enhanced, result.reply.text) == ("", "4.1.1 odd")


# --- STARTTLS ------------------------------------------------------------------------------------


class TrustedServers:
    """A certificate authority of its own, and servers that it vouches for."""

    def __init__(self) -> None:
        self._authority = Authority("test")
        self.pem = self._authority.issue(["ca.test"], "127.0.0.1").ca

    def server(self, host: str, folder: Path) -> ssl.SSLContext:
        issued = self._authority.issue([host], "127.0.0.1")
        chain = folder / "chain.pem"
        chain.write_text(issued.certificate + issued.key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain)
        return context


@pytest.fixture(scope="module")
def authority() -> TrustedServers:
    return TrustedServers()


async def test_b7_starttls_is_used_where_offered(
    lab: RelayLab, authority: TrustedServers, tmp_path: Path
) -> None:
    lab.tls = TlsConfig("", "", authority.pem)
    tls = authority.server("mx1.example.test", tmp_path)
    sink = Sink(extensions=["STARTTLS", "PIPELINING"], tls=tls)
    await lab.hosts(sink)
    assert isinstance(await lab.one(), Delivered)
    assert [line.split()[0] for line in sink.commands()][:4] == [
        "EHLO",
        "STARTTLS",
        "EHLO",
        "MAIL",
    ]
    assert "C: <TLSv1.3 with mx1.example.test, certificate verified>" in lab.tried[0].dialog
    assert sink.received[0].content == CONTENT


@pytest.mark.parametrize("wrong", ["name", "authority"])
async def test_b7_a_certificate_that_cannot_be_verified_falls_back_to_plain_text(
    lab: RelayLab, authority: TrustedServers, tmp_path: Path, wrong: str
) -> None:
    lab.tls = TlsConfig("", "", (authority if wrong == "name" else TrustedServers()).pem)
    host = "other.example.test" if wrong == "name" else "mx1.example.test"
    sink = Sink(extensions=["STARTTLS"], tls=authority.server(host, tmp_path))
    await lab.hosts(sink)
    assert isinstance(await lab.one(), Delivered)
    assert sink.connections == 2
    assert sink.received[0].connection == 2
    [tried] = lab.tried
    assert any(
        line.startswith("C: <no TLS: ") and line.endswith("; a new connection without it>")
        for line in tried.dialog
    )


async def test_b7_starttls_refused_goes_on_in_plain_text(
    lab: RelayLab, authority: TrustedServers
) -> None:
    lab.tls = TlsConfig("", "", authority.pem)
    sink = Sink({"STARTTLS": ["454 4.7.0 not now"]}, extensions=["STARTTLS"])
    await lab.hosts(sink)
    assert isinstance(await lab.one(), Delivered)
    assert sink.connections == 1
    assert "C: <TLS refused: going on without it>" in lab.tried[0].dialog


@pytest.mark.parametrize("how", ["cut", "hang", "220 go|cut", "220 go\r\n250 forged|cut"])
async def test_b7_starttls_that_breaks_goes_on_in_plain_text(
    lab: RelayLab, authority: TrustedServers, how: str
) -> None:
    lab.tls = TlsConfig("", "", authority.pem)
    if how == "hang":
        lab.impatient("starttls")
    sink = Sink({"STARTTLS": [how]}, extensions=["STARTTLS"])
    await lab.hosts(sink)
    assert isinstance(await lab.one(), Delivered)
    assert sink.connections == 2


async def test_b7_what_is_injected_before_the_handshake_is_discarded(
    lab: RelayLab, authority: TrustedServers, tmp_path: Path
) -> None:
    lab.tls = TlsConfig("", "", authority.pem)
    script = {"STARTTLS": ["220 go\r\n250 forged\r\n250-forged"]}
    tls = authority.server("mx1.example.test", tmp_path)
    sink = Sink(script, extensions=["STARTTLS", "SIZE"], tls=tls)
    await lab.hosts(sink)
    assert isinstance(await lab.one(), Delivered)
    assert sink.connections == 1
    assert not any("forged" in line for line in lab.tried[0].dialog)


async def test_b7_starttls_is_left_alone_without_the_labs_ca(lab: RelayLab) -> None:
    _, sink = await sent(lab, lab.job(), ["STARTTLS"])
    assert sink.commands("STARTTLS") == []


async def test_a_ca_that_is_no_pem_is_a_configuration_error() -> None:
    lab = RelayLab()
    lab.tls = TlsConfig("", "", "nonsense")
    with pytest.raises(ConfigError, match=r"tls\.ca"):
        await lab.send(BOB)


async def test_b7_replies_are_made_printable(lab: RelayLab) -> None:
    await lab.hosts(Sink({"MAIL": ["550-5.7.1 \x1b[31mred\r\n550 5.7.1 \udcff\x00end"]}))
    result = await lab.one()
    assert isinstance(result, Failed)
    assert str(result.reply) == "550 5.7.1 ?[31mred ??end"
    assert all(line.isprintable() for line in lab.tried[0].dialog)
