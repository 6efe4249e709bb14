"""The replies in a conversation, each with the verb that it answers. Pure."""

from collections.abc import Iterator

from mxlab_services import events

_VERBS = {
    "greeting": "CONNECT", "ehlo": "EHLO", "starttls": "STARTTLS", "mail": "MAIL", "rcpt": "RCPT",
    "data": "DATA", "dot": "DOT", "done": "DOT",
}  # fmt: skip


def last_of(tried: events.Tried) -> Iterator[tuple[str, str]]:
    """The verb and the reply of a conversation of which only the end is told."""
    if tried.reply[:3].isdecimal() and tried.stage in _VERBS:
        yield _VERBS[tried.stage], tried.reply


def replies_in(dialog: list[str]) -> Iterator[tuple[str, str]]:
    """The replies in a conversation, each on one line, with the verb that it answers: the greeting
    answers CONNECT, the reply to the final dot DOT, what follows a challenge (334) AUTH. Commands
    may have been sent ahead of replies (RFC 2920)."""
    asked: list[str] = []
    met = False  # the server has greeted
    first = last = ""
    for line in dialog:
        side, text = line[:3], line[3:]
        if side == "C: " and text.startswith("<"):
            asked, met = [], met and "new" not in text
        elif side == "C: ":
            verb = "DOT" if text == "." else text.partition(" ")[0].upper()
            asked.append("AUTH" if last[:3] == "334" else verb)
            met = True
        elif text[:3].isdecimal():
            first = first or f"{text[:3]} {text[4:]}"
            if text[3:4] != "-":
                if asked:
                    yield asked.pop(0), first
                elif not met:
                    yield "CONNECT", first
                first, last, met = "", first, True
