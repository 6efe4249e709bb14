"""Where everything of a picture lies: boxes in columns, the lines between them. Pure.

Columns from the left: senders, relays, mail domains, exchanges, IMAP servers; above them the name
servers. Lines that many share run together in a lane between two columns, so that thirty hosts stay
readable. Lengths are pixels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mxlab.picture.boxes import LETTER, PAD, Box, columns_of, domain_box, host_box
from mxlab.picture.diagram import Diagram

EDGE = 24  # around the picture
PORT = 20  # between two lines that end at one box
GAP_X, GAP_Y, LANE = 92, 22, 12
LEGEND = 22  # height of a line of the legend
MOST_IN_ROW = 4  # name servers


@dataclass(slots=True)
class Line:
    """One line. `path`: as SVG has it; `tone`: which domain's it is; `text` stands at `at`."""

    kind: str
    path: str
    tone: int = 0
    arrow: bool = True
    text: str = ""
    at: tuple[float, float] = (0, 0)


@dataclass(slots=True)
class LaidOut:
    """A picture, laid out. `frame`: around the name servers (x, y, width, height, caption)."""

    wide: float
    high: float
    boxes: list[Box]
    lines: list[Line]
    frame: tuple[float, float, float, float, str] | None
    legend: list[tuple[str, str]]
    legend_top: float


def laid_out(diagram: Diagram) -> LaidOut:
    """The picture of a diagram, every box and line in its place."""
    return _Laying(diagram).drawn()


class _Laying:
    """Lays out one picture, column by column."""

    def __init__(self, diagram: Diagram) -> None:
        self._diagram = diagram
        self._lines: list[Line] = []
        self._boxes = {place.name: host_box(diagram, place) for place in diagram.places}
        self._books = [domain_box(book) for book in diagram.domains]
        self._direct = [self._boxes[place.name] for place in diagram.by_mx]

    def drawn(self) -> LaidOut:
        high, frame = self._name_servers()
        body = high
        x = self._senders(high)
        x = self._domains(x, high)
        x = self._imap(x, high)
        boxes = [*self._boxes.values(), *self._books]
        low = max((box.y + box.high for box in boxes), default=high)
        wide = max([x, *(box.x + box.wide for box in boxes)]) + EDGE
        if frame is not None:
            wide = max(wide, frame[0] + frame[2] + EDGE)
            frame = (frame[0], frame[1], wide - 2 * EDGE, frame[3], frame[4])
            self._question(frame, body)
        legend = self._legend()
        top = low + EDGE + 4
        least = max((columns_of(text) * LETTER + 70 for _, text in legend), default=0)
        wide = max(wide, least + 2 * EDGE)
        whole = top + LEGEND * len(legend) + EDGE / 2
        return LaidOut(wide, whole, boxes, self._lines, frame, legend, top)

    def _name_servers(self) -> tuple[float, tuple[float, float, float, float, str] | None]:
        """The height at which the rest begins, and the frame."""
        servers = [self._boxes[place.name] for place in self._diagram.of("dns")]
        if not servers:
            return EDGE, None
        caption = f"DNS: {self._diagram.asks}"
        y, right = EDGE + 30.0, EDGE + columns_of(caption) * LETTER + 2 * PAD
        arcs = 26 if self._diagram.copies else 0
        for start in range(0, len(servers), MOST_IN_ROW):
            row, x = servers[start : start + MOST_IN_ROW], EDGE + float(PAD)
            for box in row:
                box.x, box.y = x, y
                x += box.wide + 3 * PAD
            right = max(right, x)
            y += max(box.high for box in row) + PAD + arcs
        for number, copying in enumerate(self._diagram.copies):
            self._copy(self._boxes[copying.primary], self._boxes[copying.secondary], number)
        return y + 54, (EDGE, EDGE, right - EDGE, y - EDGE, caption)

    def _copy(self, source: Box, target: Box, number: int) -> None:
        """An arc below the boxes."""
        start = source.x + source.wide / 2 + 8 * (number % 3 - 1)
        end = target.x + target.wide / 2 + 8 * (number % 3 - 1)
        y1, y2 = source.y + source.high, target.y + target.high
        deep = max(y1, y2) + 30
        path = f"M{start:g} {y1:g}C{start:g} {deep:g} {end:g} {deep:g} {end:g} {y2 + 3:g}"
        self._lines.append(Line("copy", path))

    def _question(self, frame: tuple[float, float, float, float, str], body: float) -> None:
        """The arrow from a sender up to the name servers."""
        askers = self._direct or [self._boxes[p.name] for p in self._diagram.of("client")]
        first = min(askers, key=lambda box: (box.x, box.y), default=None)
        if first is not None:
            x, end = first.x + min(first.wide / 2, 60), frame[1] + frame[3]
            self._lines.append(
                Line("ask", f"M{x:g} {first.y:g}V{end + 4:g}", text="asks", at=(x + 10, body - 22))
            )

    def _senders(self, top: float) -> float:
        """Senders, relays behind them; those who look up the exchanges themselves stand above, so
        that their lines pass over the relays. Returns where the next column begins."""
        diagram = self._diagram
        clients = sorted(diagram.of("client"), key=lambda place: bool(place.smarthost))
        below = _stack([self._boxes[place.name] for place in clients], EDGE, top)
        alone = [self._boxes[place.name] for place in clients if not place.smarthost]
        free = max((box.y + box.high + GAP_Y for box in alone), default=top)
        x = EDGE + max((self._boxes[place.name].wide for place in clients), default=0)
        depths = self._depths()
        for depth in sorted(set(depths.values()), reverse=True):
            column = [self._boxes[name] for name, own in depths.items() if own == depth]
            x += GAP_X
            below = max(below, _stack(column, x, free))
            x += max(box.wide for box in column)
        for place in (*clients, *diagram.of("relay")):
            if place.smarthost:
                source, target = self._boxes[place.name], self._boxes[place.smarthost]
                path = _curve(source.x + source.wide, source.middle, target.x, target.middle)
                self._lines.append(Line("smarthost", path))
        return x

    def _depths(self) -> dict[str, int]:
        """Each relay -> how many it hands mail on to, one behind the other."""
        onward = {place.name: place.smarthost for place in self._diagram.of("relay")}
        return {name: _steps(name, onward) for name in onward}

    def _domains(self, x: float, top: float) -> float:
        """The domains and their exchanges, with the lines to, between and behind them."""
        if not self._books:
            return x
        exchanges = [self._boxes[place.name] for place in self._diagram.of("exchange")]
        self._make_room(exchanges)
        lane = x + GAP_X / 2
        left = x + GAP_X
        right = left + max(book.wide for book in self._books) + 1.6 * GAP_X
        down = _stack(exchanges, right, top)
        own = sum(book.high + GAP_Y for book in self._books) - GAP_Y
        start = top + max(0.0, (down - GAP_Y - top - own) / 2)
        _stack(self._books, left, start if len(self._books) > 1 else max(start, top))
        self._lead_to_domains(lane)
        for tone, (book, box) in enumerate(zip(self._diagram.domains, self._books, strict=True)):
            for rank in book.ranks:
                target = self._boxes[rank.host]
                y = _port(target, target.left)
                path = _curve(box.x + box.wide, box.middle, target.x, y)
                text = str(rank.preference)
                at = (target.x - 16 - columns_of(text) * LETTER, y)
                self._lines.append(Line("mx", path, tone, text=text, at=at))
        return self._forwards(right + max(box.wide for box in exchanges))

    def _make_room(self, exchanges: Iterable[Box]) -> None:
        """Boxes high enough for all lines that end at them."""
        for box in exchanges:
            ends = sum(r.host == box.name for book in self._diagram.domains for r in book.ranks)
            box.high = max(box.high, ends * PORT + PAD)
            box.left = [(n + 0.5) / ends for n in range(ends)]
            box.right = list(box.left)

    def _lead_to_domains(self, lane: float) -> None:
        """One lane from all who ask for MX records to all domains."""
        if not self._direct:
            return
        ys = [box.middle for box in (*self._direct, *self._books)]
        if max(ys) - min(ys) > 1:
            path = f"M{lane:g} {min(ys):g}V{max(ys):g}"
            self._lines.append(Line("lane", path, arrow=False))
        for box in self._direct:
            path = f"M{box.x + box.wide:g} {box.middle:g}H{lane:g}"
            self._lines.append(Line("lane", path, arrow=False))
        for box in self._books:
            self._lines.append(Line("lane", f"M{lane:g} {box.middle:g}H{box.x - 3:g}"))

    def _forwards(self, x: float) -> float:
        """A lane for each domain with backups, from them to its primaries."""
        lane = x + 2 * LANE
        for tone, book in enumerate(self._diagram.domains):
            hosts = [self._boxes[rank.host] for rank in book.ranks]
            ends = {box.name: _port(box, box.right) for box in hosts}
            backups, primaries = book.of("backup"), book.of("primary")
            if not (backups and primaries):
                continue
            ys = [ends[host] for host in (*backups, *primaries)]
            self._lines.append(Line("forward", f"M{lane:g} {min(ys):g}V{max(ys):g}", tone, False))
            for host in backups:
                box = self._boxes[host]
                path = f"M{box.x + box.wide:g} {ends[host]:g}H{lane:g}"
                self._lines.append(Line("forward", path, tone, arrow=False))
            for host in primaries:
                box = self._boxes[host]
                path = f"M{lane:g} {ends[host]:g}H{box.x + box.wide + 3:g}"
                self._lines.append(Line("forward", path, tone))
            lane += LANE
        return lane

    def _imap(self, x: float, top: float) -> float:
        """IMAP servers, each at the height of its primary, as far as they fit."""
        x, free = x + 2 * LANE, top
        for place in self._diagram.of("imap"):
            box, shown = self._boxes[place.name], self._boxes[place.shows]
            box.x, box.y = x, max(free, shown.y)
            free = box.y + box.high + GAP_Y
            y = shown.y + 6 if box.y == shown.y else box.middle
            path = _curve(shown.x + shown.wide, shown.y + 6, box.x, y)
            self._lines.append(Line("shows", path, arrow=False))
        return x

    def _legend(self) -> list[tuple[str, str]]:
        used = {line.kind for line in self._lines}
        words = {
            "mx": "MX record with its preference: the lower, the earlier it is tried",
            "forward": "a backup hands on what it keeps, to the primary",
            "smarthost": "hands all its mail to this relay",
            "copy": "copies zones (primary to secondary)",
            "shows": "shows these mailboxes",
        }
        return [(kind, text) for kind, text in words.items() if kind in used]


def _steps(name: str, onward: dict[str, str]) -> int:
    steps = 0
    while (name := onward.get(name, "")) in onward and steps < len(onward):
        steps += 1
    return steps


def _stack(boxes: Sequence[Box], x: float, y: float) -> float:
    """Put them below each other, all as wide as the widest; where the next would begin."""
    wide = max((box.wide for box in boxes), default=0)
    for box in boxes:
        box.x, box.y, box.wide = x, y, wide
        y += box.high + GAP_Y
    return y


def _port(box: Box, free: list[float]) -> float:
    """The next free end of a line at a side of a box."""
    return box.y + box.high * free.pop(0)


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    half = (x2 - x1) / 2
    return f"M{x1:g} {y1:g}C{x1 + half:g} {y1:g} {x2 - half:g} {y2:g} {x2 - 3:g} {y2:g}"
