"""The messages of a bundle, each whole, for who wants to read them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from mxlab.bundle.parts import MAILBOXES, KeptLetter
from mxlab.bundle.unpack import unpacked
from mxlab.errors import Damaged


def letters_in(path: Path) -> Iterator[tuple[KeptLetter, bytes]]:
    """Each message that the bundle has, one at a time; one that cannot be unpacked is passed over.

    Raises UsageError for what is no bundle, Damaged for one of which nothing can be read."""
    with unpacked(path) as bundle:
        if MAILBOXES not in bundle:
            return
        try:
            letters = msgspec.json.decode(bundle.read(MAILBOXES), type=list[KeptLetter])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Damaged):
            return
        for letter in letters:
            if letter.part not in bundle:
                continue
            try:
                content = bundle.read(letter.part)
            except Damaged:
                continue
            yield letter, content
