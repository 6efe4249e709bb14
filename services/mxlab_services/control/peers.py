"""What a scripted server can be asked, and what it answers; each struct declared once."""

from typing import Annotated, Literal

import msgspec

from mxlab_services.control.requests import Request

PeerWord = Literal["open", "line", "early", "reply", "content", "cut", "close"]


class PeerEvent(msgspec.Struct, frozen=True):
    """One thing that happened at a scripted server; `at`: lab time. `text` has a character for each
    byte (Latin-1). open: who connected. line: a command, with its line end. early: what came before
    the reply that was due. content: what stood between 354 and the final dot, as it came. cut: the
    server closes by its script."""

    number: int
    session: int
    at: float
    word: PeerWord
    text: str = ""


class PeerReply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a scripted server says: lines as they stand (nothing: not a byte), after `wait` real
    seconds, in `pieces` of so many bytes (0: whole); and what it does then: close, reset, or say no
    more."""

    text: str = ""
    then: Literal["", "cut", "reset", "silence"] = ""
    wait: float = 0.0
    pieces: int = 0


class PeerRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The replies at a stage (a verb, CONNECT or DOT) to what has `about` in its MAIL or in the
    line itself, one after the other; the last one for good if it `stays`."""

    stage: str
    replies: Annotated[list[PeerReply], msgspec.Meta(min_length=1)]
    about: str = ""
    stays: bool = True


class PeerScript(Request[bool], frozen=True):
    """How a scripted server replies from now on: by the first of the rules that fits, else as one
    that takes everything and `offers` this. Not `listening`: connections are refused."""

    method = "peer.script"
    reply = bool
    rules: tuple[PeerRule, ...] = ()
    offers: tuple[str, ...] = ()
    listening: bool = True


class PeerRead(Request[list[PeerEvent]], frozen=True):
    """What happened at a scripted server after event number `after`; where that is nothing, wait
    for it, so long (real seconds)."""

    method = "peer.read"
    reply = list[PeerEvent]
    after: int = 0
    wait: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
