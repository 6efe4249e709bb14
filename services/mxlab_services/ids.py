"""Queue ids, message ids and their randomness: seeded, so that a simulation repeats exactly."""

import random
from typing import Protocol

from mxlab_services.clock import Clock

_ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZ"  # no vowels: ids spell no words (Postfix's habit)
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]


class Ids(Protocol):
    """Where identifiers come from."""

    def queue_id(self) -> str:
        """A queue id, unique on this node, in capital letters and digits, sorted by age."""
        ...

    def token(self) -> str:
        """A token that is unique across the lab (the left part of a Message-ID)."""
        ...


class SeededIds:
    """Ids from the lab's clock and a seeded random source."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._last = 0

    def queue_id(self) -> str:
        # Strictly increasing, even when two ids fall into one microsecond.
        self._last = max(self._last + 1, int(self._clock.time() * 1_000_000))
        return _base31(self._last) + _PAIRS[self._rng.randrange(len(_PAIRS))]

    def token(self) -> str:
        return f"{_base31(int(self._clock.time() * 1000))}.{self._rng.getrandbits(48):012x}".lower()


def _base31(number: int) -> str:
    pairs = []  # two digits at a time: each message costs its node an id
    while number >= len(_PAIRS):
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    pairs.append(_PAIRS[number] if number >= len(_ALPHABET) else _ALPHABET[number])
    return "".join(reversed(pairs))
