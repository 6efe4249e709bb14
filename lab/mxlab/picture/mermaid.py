"""A lab as a flowchart of Mermaid, for pages that draw it. Pure."""

import re
from collections.abc import Iterator

from mxlab.picture.diagram import Diagram, ShownHost
from mxlab.picture.text import condition, roles

# Whatever could end a label, begin a tag, an entity, a link or Markdown in it; and what Mermaid
# itself reads in labels (`%%` begins a comment, `;` may end a statement).
_MEANS = re.compile(r"[^\w .,:()/+@-]|[_:]/{2}", re.ASCII)
SHAPES = {
    "client": ("[", "]"), "relay": ("[", "]"), "exchange": ("[", "]"), "imap": ("[", "]"),
    "dns": ("[(", ")]"),
}  # fmt: skip


def mermaid(diagram: Diagram) -> str:
    """The flowchart's text. Each arrow of an MX record has its preference; a broken one leads to a
    host that does not run."""
    ids = {place.name: f"h{number}" for number, place in enumerate(diagram.places)}
    lines = ["flowchart LR", f"  accTitle: {_plain(diagram.title)}"]
    lines += [f"  accDescr: {_plain(diagram.asks) or 'a lab'}"]
    for place in diagram.of("client", "relay", "exchange", "imap"):
        lines.append(f"  {_node(diagram, place, ids[place.name])}")
    lines += ['  subgraph dns ["DNS"]', "    direction LR"]
    lines += [f"    {_node(diagram, place, ids[place.name])}" for place in diagram.of("dns")]
    lines += [f'    {ids[c.primary]} -.->|"copies"| {ids[c.secondary]}' for c in diagram.copies]
    lines += ["  end"]
    return "\n".join((*lines, *_ways(diagram, ids))) + "\n"


def _ways(diagram: Diagram, ids: dict[str, str]) -> Iterator[str]:
    for number, book in enumerate(diagram.domains):
        yield f'  d{number}(["{_label(book.domain)}"])'
        for sender in diagram.by_mx:
            yield f"  {ids[sender.name]} --> d{number}"
        for rank in book.ranks:
            arrow = "--x" if diagram.place(rank.host).is_down else "-->"
            yield f'  d{number} {arrow}|"MX {rank.preference}"| {ids[rank.host]}'
        for backup in book.of("backup"):
            for primary in book.of("primary"):
                yield f'  {ids[backup]} -.->|"forwards"| {ids[primary]}'
    for place in diagram.places:
        if place.smarthost:
            arrow = "--x" if diagram.place(place.smarthost).is_down else "==>"
            yield f'  {ids[place.name]} {arrow}|"all mail"| {ids[place.smarthost]}'
        if place.shows:
            yield f'  {ids[place.name]} -.-|"mailboxes"| {ids[place.shows]}'
    if diagram.by_mx:
        yield f'  {ids[diagram.by_mx[0].name]} -.->|"asks"| dns'


def _node(diagram: Diagram, place: ShownHost, its_id: str) -> str:
    """A host, with what its box in the SVG says."""
    texts = (
        place.name, condition(place), *roles(diagram, place), place.software, *place.addresses,
        *place.notes,
    )  # fmt: skip
    begins, ends = SHAPES[place.kind]
    label = "<br/>".join(_label(text) for text in texts if text)
    return f'{its_id}{begins}"{label}"{ends}'


def _label(text: str) -> str:
    """Text in quotes: what means something there is given by its number, as Mermaid has it."""
    return _MEANS.sub(lambda found: "".join(f"#{ord(c)};" for c in found[0]), text)


def _plain(text: str) -> str:
    """Text up to the end of a line, where nothing is decoded: letters, digits, few signs."""
    return re.sub(r"[^\w .,:()/@-]", " ", text).strip()
