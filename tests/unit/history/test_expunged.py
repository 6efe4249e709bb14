"""What a mail program took away is told from what was lost, and from what was never there."""

import msgspec
import pytest

from mxlab.checks.judge import judge
from mxlab.history.evidence import Evidence
from mxlab.history.expunged import Expunged, expunged_in
from mxlab.history.ledger import Unit, make_ledger
from mxlab.model.finding import Verdict
from mxlab.model.topology import Topology
from mxlab_services import events
from mxlab_services.control.replies import MailboxEntry
from tests.support.history import BOB, DIGEST, MESSAGE, History, mailbox, through_both

HEAD = "2026-11-27 19:09:03 imap(bob@example.test)<31><s9gfy0ZhPLusEQAB>: Info: "
TAKEN = Expunged("mx1", BOB, MESSAGE, "imap")
OWN = "1795806543.M797820Q238fjh.0123456789abcdef0123456789abcdef.mxlab"


def log_of(text: str) -> list[Expunged]:
    return expunged_in([text], "mx1")


def with_reader() -> History:
    """The whole story, in a lab with an IMAP server; the message lies at mx1."""
    history = through_both()
    history.topology = Topology(imap=True)
    history.mailboxes["mx1"] = [named(OWN)]
    return history


def named(name: str, message: str = MESSAGE) -> MailboxEntry:
    return msgspec.structs.replace(mailbox(message), name=name)


def unit_of(history: History) -> Unit:
    return make_ledger(history.trace(), history.evidence()).units[MESSAGE, BOB]


def verdict(check: str, history: History) -> tuple[Verdict, str]:
    (found,) = judge([check], history.trace(), history.evidence())
    return found.verdict, found.text


def test_dovecots_line_names_mailbox_protocol_and_message() -> None:
    line = f"{HEAD}expunge: box=INBOX, uid=2, msgid=<a2@client.test>, size=79"
    assert log_of(line) == [Expunged("mx1", BOB, "<a2@client.test>", "imap")]
    assert log_of(line.replace("imap(", "pop3("))[0].protocol == "pop3"
    assert log_of(line.replace("<a2@client.test>", "<a2@client.test> (odd)"))[0].message == (
        "<a2@client.test>"
    )


@pytest.mark.parametrize(
    "line",
    [
        f"{HEAD}expunge: box=Trash, uid=2, msgid=<a2@client.test>, size=79",
        f"{HEAD}Disconnected: Logged out in=54 out=1005 deleted=0 expunged=1",
        "2026-11-27 19:09:03 master: Info: Dovecot starting up for imap, pop3",
        # Somebody logged in under a name that looks like a line.
        f"{HEAD}expunge: box=INBOX, uid=2, msgid=<a2@client.test>, size=79".replace(
            "bob@example.test", "eve)<1><x>: Info: expunge: box=INBOX, uid=1, msgid=<m@x>"
        ).replace("expunge: box=INBOX, uid=2, msgid=<a2@client.test>", "Logged out del=1/4"),
    ],
)
def test_other_lines_tell_nothing(line: str) -> None:
    assert log_of(line) == []


def test_a_long_identifier_is_cut_and_an_absent_one_is_that_of_some_message_without() -> None:
    (cut,) = log_of(f"{HEAD}expunge: box=INBOX, uid=2, msgid=<{'a' * 76}..., size=79")
    assert cut.cut
    assert cut.is_of(f"<{'a' * 80}@client.test>")
    assert not cut.is_of("<b@client.test>")
    (none,) = log_of(f"{HEAD}expunge: box=INBOX, uid=2, msgid=(null), size=79")
    assert none.is_of("<0123456789abcdef@no-message-id>")
    assert not none.is_of(MESSAGE)


def test_what_a_reader_deleted_was_delivered_and_is_not_lost() -> None:
    history = with_reader()
    history.mailboxes["mx1"] = []
    history.expunged = [TAKEN]
    unit = unit_of(history)
    assert unit.state == "expunged"
    assert unit.expunged == [f"a reader deleted it from {BOB} at mx1, or moved it (imap)"]
    passed, text = verdict("nothing-lost", history)
    assert passed is Verdict.PASS
    assert "1 expunged" in text
    assert verdict("all-delivered", history)[0] is Verdict.PASS


def test_what_is_gone_without_a_word_of_the_server_is_lost() -> None:
    history = with_reader()
    history.mailboxes["mx1"] = []
    assert verdict("nothing-lost", history)[0] is Verdict.FAIL
    history.expunged = [msgspec.structs.replace(TAKEN, message="<other@client.test>")]
    assert verdict("nothing-lost", history)[0] is Verdict.FAIL
    history.expunged = [msgspec.structs.replace(TAKEN, node="mx2")]
    assert verdict("nothing-lost", history)[0] is Verdict.FAIL


def test_without_the_servers_log_nobody_knows() -> None:
    history = with_reader()
    history.mailboxes["mx1"] = []
    history.missing = {"imap": "imap has been removed"}
    assert verdict("nothing-lost", history)[0] is Verdict.UNKNOWN


def test_what_was_never_delivered_cannot_have_been_deleted() -> None:
    """Somebody put a copy there, and took it away: the message itself is lost all the same."""
    history = with_reader()
    history.mailboxes["mx1"] = []
    history.stream = [one for one in history.stream if one[2].kind != "mailbox.delivered"]
    history.expunged = [TAKEN]
    assert verdict("nothing-lost", history)[0] is Verdict.FAIL


def test_what_was_moved_away_and_back_is_there() -> None:
    history = with_reader()
    history.expunged = [TAKEN]
    unit = unit_of(history)
    assert (unit.state, unit.deliveries) == ("delivered", 1)


def test_a_copy_that_was_deleted_needs_its_explanation_too() -> None:
    history = with_reader()
    history.event("mx1", events.MailboxDelivered("A2", BOB, "second", DIGEST))
    history.expunged = [TAKEN]
    assert unit_of(history).deliveries == 2
    assert verdict("duplicates-explained", history)[0] is Verdict.FAIL


def test_what_a_mail_program_put_there_is_neither_forged_nor_a_copy() -> None:
    history = with_reader()
    foreign = "1795806543.M797820P31.79c17595c897,S=32,W=36:2,S"
    history.mailboxes["mx1"] += [named(foreign), named(foreign, "<draft@example.test>")]
    for check in ("nothing-forged", "duplicates-explained", "nothing-altered"):
        assert verdict(check, history)[0] is Verdict.PASS, check
    history.topology = Topology()  # where nobody reads by IMAP, nobody may have put it there
    assert verdict("nothing-forged", history)[0] is Verdict.FAIL


def test_it_is_kept_with_a_recording() -> None:
    evidence = Evidence(topology=Topology(imap=True), expunged=(TAKEN,))
    kept = msgspec.json.encode(evidence)
    assert msgspec.json.decode(kept, type=Evidence) == evidence
    assert (
        msgspec.json.decode(kept.replace(b"expunged", b"unheard_of"), type=Evidence).expunged == ()
    )
