"""A lab as a picture in plain text: who hands mail to whom, in which order, how they are. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from mxlab.picture.diagram import Diagram, MailBook, ShownHost

INDENT = 2
GAP = "  "
DOES = {"client": "", "relay": "; takes mail for anywhere"}


class TextLine(NamedTuple):
    """One line, and the indent of its further lines where it has to be broken."""

    text: str
    hang: int


def text_picture(diagram: Diagram, addresses: bool = True) -> list[TextLine]:
    """The lab in lines, which the caller breaks at its width; each address too, if so wished.

    An arrow is broken (`--x`) where the host at its end does not run. Exchanges stand in the order
    of their preference (RFC 5321 §5.1), and a backup says for whom it keeps mail; where there are
    several domains, below each of them. A relay stands behind who hands it all mail.
    """
    lines = [
        TextLine(_sender(place, addresses), INDENT)
        for kind in ("client", "relay")
        for place in diagram.of(kind)
    ]
    for book in diagram.domains:
        if len(diagram.domains) > 1:
            lines.append(TextLine(f"  | {book.domain}", INDENT))
        lines += _exchanges(diagram, book, addresses)
    for place in diagram.of("imap"):
        text = _said(place, addresses, f"shows the mailboxes of {place.shows}")
        lines.append(TextLine(f"{place.name}: {text}", INDENT))
    for place in diagram.of("dns"):
        text = _said(place, addresses, "tells all where to go")
        lines.append(TextLine(f"{place.name}: {'; '.join((text, *place.notes))}", INDENT))
    return lines


def duty(book: MailBook, host: str) -> str:
    """What an exchange does for a domain."""
    if host in (primaries := book.of("primary")):
        return f"delivers for {book.short}"
    return f"keeps mail for {' and '.join(primaries) or book.short}"


def roles(diagram: Diagram, place: ShownHost) -> list[str]:
    """What a host is; an exchange of several domains in each of them."""
    if place.kind == "exchange":
        several = len(diagram.domains) > 1
        return [
            f"{rank.role}, MX {rank.preference}" + (f" of {book.short}" if several else "")
            for book in diagram.domains
            for rank in book.ranks
            if rank.host == place.name
        ]
    return {
        "dns": ["name server"],
        "relay": ["relay"],
        "client": [f"sends; mail of {place.domain}"],
        "imap": [f"IMAP: mailboxes of {place.shows}"],
    }[place.kind]


def _sender(place: ShownHost, addresses: bool) -> str:
    whose = f" ({place.software})" if place.software else ""
    text = _said(place, addresses) + DOES[place.kind]
    goes = f"; all goes to {place.smarthost}" if place.smarthost else ""
    notes = "".join(f"; {note}" for note in place.notes) if addresses else ""
    return f"{place.name}{whose}: {text}{goes}{notes}"


def _exchanges(diagram: Diagram, book: MailBook, addresses: bool) -> Iterator[TextLine]:
    """The exchanges of one domain, a line each."""
    names = max(len(rank.host) for rank in book.ranks)
    digits = max(len(str(rank.preference)) for rank in book.ranks)
    for rank in book.ranks:
        place = diagram.place(rank.host)
        arrow = "--x" if place.is_down else "-->"
        head = f"  |-- {rank.preference:>{digits}} {arrow} {rank.host:<{names}}{GAP}"
        whose = f" with {place.software}" if place.software else ""
        text = _said(place, addresses, duty(book, rank.host) + whose)
        notes = place.notes if addresses else ()
        yield TextLine(head + "; ".join((text, *notes)), len(head))


def _said(place: ShownHost, addresses: bool, does: str = "") -> str:
    """How it is and where, and what it does."""
    parts = [condition(place), ", ".join(place.addresses) if addresses else "", does]
    return "; ".join(part for part in parts if part)


def condition(place: ShownHost) -> str:
    """How it is, in a lab that is up."""
    return place.state + ("" if place.queued is None else f", {place.queued} queued")
