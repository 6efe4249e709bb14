"""What to type into a mail program."""

from typing import Any

from mxlab.cli.mailprogram import settings

PLAIN = {"imap": "127.0.0.1:1143", "pop3": "127.0.0.1:1110"}
CLIENT = {"node": "client", "role": "client", "published": {"smtp": "127.0.0.1:1025"}}


def lab(published: dict[str, str]) -> dict[str, Any]:
    server = {"node": "imap", "for": "mx1", "published": published}
    return {"domain": "example.test", "nodes": [CLIENT], "imap": [server]}


def test_hosts_ports_user_and_password_are_told() -> None:
    told = "\n".join(settings(lab(PLAIN)))
    assert "bob@example.test (or whoever has mail), password mxlab" in told
    assert "IMAP: host 127.0.0.1, port 1143, no encryption" in told
    assert "POP3: host 127.0.0.1, port 1110, no encryption" in told
    assert "outgoing (SMTP): host 127.0.0.1, port 1025" in told
    assert "from=bob@example.test smtp_url=smtp://127.0.0.1:1025'" in told
    assert "'imap://bob%40example.test:mxlab@127.0.0.1:1143/INBOX'" in told


def test_with_certificates_there_is_a_choice() -> None:
    told = "\n".join(settings(lab({**PLAIN, "imaps": "127.0.0.1:1993", "pop3s": "127.0.0.1:1995"})))
    assert "port 1143, no encryption or STARTTLS; or SSL/TLS at port 1993" in told
    assert "port 1110, no encryption or STARTTLS; or SSL/TLS at port 1995" in told


def test_nothing_is_told_where_nothing_is_published() -> None:
    assert list(settings(lab({}))) == []
    assert list(settings({"domain": "example.test", "nodes": [CLIENT]})) == []


def test_the_outgoing_server_with_a_password_is_told_where_it_is_published() -> None:
    places = {"smtp": "127.0.0.1:1025", "submission": "127.0.0.1:1587"}
    with_password = {**lab(PLAIN), "nodes": [{**CLIENT, "published": places, "submits": ["al"]}]}
    (line,) = [one for one in settings(with_password) if "with a password" in one]
    assert line.endswith("host 127.0.0.1, port 1587, STARTTLS, password, as al")
    places["submissions"] = "127.0.0.1:1465"
    (line,) = [one for one in settings(with_password) if "with a password" in one]
    assert line.endswith("as al; or SSL/TLS at port 1465")
    assert not any("with a password" in one for one in settings(lab(PLAIN)))
