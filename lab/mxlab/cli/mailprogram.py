"""What to type into a mail program, so that it reads a lab's mailboxes and hands mail in. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

PASSWORD = "mxlab"  # everybody's; `compose/dovecot/dovecot.conf` has it


def settings(lab: Mapping[str, Any]) -> Iterator[str]:
    """Lines for people, of a lab as `mxlab status --json` has it; none where it has no IMAP server,
    or none that is published."""
    outgoing = [
        node["published"]["smtp"]
        for node in lab["nodes"]
        if node.get("role") == "client" and "smtp" in (node.get("published") or {})
    ]
    for server in lab.get("imap", ()):
        open_here = server["published"]
        if "imap" not in open_here:
            continue
        user = f"bob@{lab['domain']}"
        yield f"A mail program reads the mailboxes of {server['for']} as"
        yield f"  {user} (or whoever has mail), password {PASSWORD}:"
        for service, words in (("imap", "IMAP"), ("pop3", "POP3")):
            host, port = open_here[service].split(":")
            yield f"  {words}: host {host}, port {port}, {_security(open_here, service)}"
        for place in outgoing:
            host, port = place.split(":")
            yield f"  outgoing (SMTP): host {host}, port {port}, no encryption, no authentication"
        yield from _with_password(lab)
        yield f"  or: {mutt(user, open_here['imap'], *outgoing)}"


def _with_password(lab: Mapping[str, Any]) -> Iterator[str]:
    """The outgoing server that wants a user and a password, where one is published."""
    for node in lab["nodes"]:
        open_here, users = node.get("published") or {}, node.get("submits") or ()
        if users and "submission" in open_here:
            host, port = open_here["submission"].split(":")
            words = f"STARTTLS, password, as {' or '.join(users)}"
            if at_once := open_here.get("submissions", "").rpartition(":")[2]:
                words += f"; or SSL/TLS at port {at_once}"
            yield f"  outgoing with a password (SMTP): host {host}, port {port}, {words}"


def _security(open_here: Mapping[str, str], service: str) -> str:
    """What a mail program may choose as connection security."""
    if f"{service}s" not in open_here:
        return "no encryption"
    port = open_here[f"{service}s"].rpartition(":")[2]
    return f"no encryption or STARTTLS; or SSL/TLS at port {port}"


def mutt(user: str, place: str, outgoing: str = "") -> str:
    """A command that opens the user's mailbox in mutt, whatever mutt's own settings are."""
    words = ["ssl_force_tls=no", 'folder=""', 'record=""', f"from={user}"]
    if outgoing:
        words.append(f"smtp_url=smtp://{outgoing}")
    url = f"imap://{user.replace('@', '%40')}:{PASSWORD}@{place}/INBOX"
    return f"mutt -n -F /dev/null -e 'set {' '.join(words)}' -f '{url}'"
