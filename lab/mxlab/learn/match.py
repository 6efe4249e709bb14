"""Whether a text that a person typed is the right answer. Pure.

Case, blanks, quotes and a full stop tell nothing; "the host mx1" and "mx1.example.test." are mx1. A
text from which no answer of the wanted kind can be read is neither right nor wrong: it is not
understood, and costs no try.

Long: a kind of truth for each kind of answer, each with how one is read from a text.
"""

import ipaddress
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mxlab.model.duration import format_duration, parse_duration
from mxlab_services.address import canonical
from mxlab_services.domain import fold_domain

MOST = 500  # characters of an answer: nobody means more
_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve",
)  # fmt: skip
_NUMBERS = {word: number for number, word in enumerate(_WORDS)} | {"a": 1, "an": 1}
_NOTHING = {"none", "no", "nobody", "nothing", "nowhere", "noone", "neither", "-", "()", "[]"}
_FILLING = {
    "the", "a", "an", "host", "hosts", "node", "nodes", "server", "servers", "exchange",
    "exchanges", "mx", "on", "at", "in", "by", "to", "of", "for", "from", "is", "are", "was",
    "were", "it", "its", "it's", "they", "both", "all", "and", "then", "first", "second", "third",
    "last", "next", "queue", "named", "called", "only", "just", "that", "this", "one", "address",
    "addresses", "mailbox", "i", "think", "guess", "would", "say", "answer", "has", "have", "holds",
    "hold", "them", "mail", "messages", "now", "before", "after", "backup", "primary",
}  # fmt: skip
_UNITS = {
    "ms": ("millisecond", "milliseconds", "msec", "msecs"),
    "s": ("sec", "secs", "second", "seconds"),
    "m": ("min", "mins", "minute", "minutes"),
    "h": ("hr", "hrs", "hour", "hours"),
    "d": ("day", "days"),
}
_UNIT = {long: short for short, all_ in _UNITS.items() for long in (*all_, short)}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?![\w])")
_SEPARATOR = re.compile(r"[\s,;&/|>]+|->")
_AROUND = "\"'`“”‘’«»()[]{}<>.,;:!?*"


class Truth(ABC):
    """What is right, of some kind. `str` of one shows it to people."""

    @abstractmethod
    def read(self, text: str) -> Any:
        """The answer that stands in a plain text, to be compared; None where there is none."""

    @abstractmethod
    def fits(self, answer: Any) -> bool:
        """Whether what was read is right."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why the right answer cannot be told now."""

    why: str


@dataclass(frozen=True, slots=True)
class HostNames(Truth):
    """All these names, each in one of its forms; in `groups`, whose order counts, and within which
    none does. `known`: every form of a name that can be meant -> the name."""

    groups: tuple[tuple[str, ...], ...]
    known: dict[str, str]

    def read(self, text: str) -> tuple[str, ...] | None:
        found, none, strange = [], False, False
        for word in _tokens(text):
            name = self.known.get(word) or self.known.get(fold_domain(word))
            if name is not None:
                found.append(name)
            elif word in _NOTHING:
                none = True
            elif word not in _FILLING:
                strange = True
        if strange or (found and none):
            return None
        return tuple(dict.fromkeys(found)) if found or none else None

    def fits(self, answer: tuple[str, ...]) -> bool:
        left = list(answer)
        for group in self.groups:
            some, left = left[: len(group)], left[len(group) :]
            if sorted(some) != sorted(group):
                return False
        return not left

    def __str__(self) -> str:
        return ", ".join(" and ".join(group) for group in self.groups if group) or "none"


@dataclass(frozen=True, slots=True)
class Addresses(Truth):
    """All these mail addresses."""

    wanted: frozenset[str]

    def read(self, text: str) -> frozenset[str] | None:
        words = _tokens(text)
        found = {canonical(word) for word in words if "@" in word.strip("@")}
        if found:
            return frozenset(found)
        return frozenset() if words and set(words) <= _NOTHING else None

    def fits(self, answer: frozenset[str]) -> bool:
        return {canonical(one).casefold() for one in self.wanted} == {
            one.casefold() for one in answer
        }

    def __str__(self) -> str:
        return ", ".join(sorted(self.wanted)) or "nobody"


@dataclass(frozen=True, slots=True)
class Number(Truth):
    """A whole number."""

    value: int

    def read(self, text: str) -> float | None:
        return _number_in(text)

    def fits(self, answer: float) -> bool:
        return answer == self.value

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Span(Truth):
    """A time in seconds: `value`, or what is near enough. Where `seconds` are asked for, a number
    alone is of them; elsewhere it is not understood, unless it is right so."""

    value: float
    least: float
    most: float
    seconds: bool = False

    def read(self, text: str) -> float | None:
        if (spelt := _span_in(text)) is not None:
            return spelt
        number = _number_in(text)
        if number is None or self.seconds or self.fits(number):
            return number
        return None

    def fits(self, answer: float) -> bool:
        return self.least <= answer <= self.most

    def __str__(self) -> str:
        return format_duration(round(self.value) if self.value >= 1 else self.value)


@dataclass(frozen=True, slots=True)
class Code(Truth):
    """One of these codes; `pattern` is what one looks like."""

    codes: frozenset[str]
    pattern: str

    def read(self, text: str) -> str | None:
        found = set(re.findall(self.pattern, text))
        return found.pop() if len(found) == 1 else None

    def fits(self, answer: str) -> bool:
        return answer in self.codes

    def __str__(self) -> str:
        return " or ".join(sorted(self.codes))


@dataclass(frozen=True, slots=True)
class IpAddress(Truth):
    """One of these IP addresses."""

    addresses: frozenset[str]

    def read(self, text: str) -> str | None:
        found = {shown for word in _tokens(text) if (shown := _ip(word)) is not None}
        return found.pop() if len(found) == 1 else None

    def fits(self, answer: str) -> bool:
        return answer in {_ip(one) for one in self.addresses}

    def __str__(self) -> str:
        return " or ".join(sorted(self.addresses))


@dataclass(frozen=True, slots=True)
class Words(Truth):
    """One of these texts."""

    texts: tuple[str, ...]

    def read(self, text: str) -> str | None:
        typed = text.strip()  # a lone dot is a name in DNS
        return typed if typed in self.texts else _phrase(text) or None

    def fits(self, answer: str) -> bool:
        return answer in self.texts or answer in {_phrase(one) for one in self.texts}

    def __str__(self) -> str:
        return self.texts[0]


@dataclass(frozen=True, slots=True)
class Value(Truth):
    """A setting's value, as it is written: a number, a duration, a list or a word."""

    written: str

    def read(self, text: str) -> str | None:
        return self._folded(text) or None

    def fits(self, answer: str) -> bool:
        return answer == self._folded(self.written)

    def _folded(self, text: str) -> str:
        """One form for a value; of `KEY = VALUE` what stands behind."""
        plain = _plain(text).rpartition("=")[2].strip().strip(_AROUND)
        if (span := _span_in(plain)) is not None:
            return f"{span:g}"
        try:
            return f"{float(plain):g}"
        except ValueError:
            return ",".join(word for word in re.split(r"[\s,]+", plain) if word)

    def __str__(self) -> str:
        return self.written


def right(text: str, truth: Truth) -> bool | None:
    """Whether the text is the right answer; None where it is not understood."""
    answer = answer_in(text, truth)
    return None if answer is None else truth.fits(answer)


def answer_in(text: str, truth: Truth) -> Any:
    """The answer that stands in the text; None where none can be read. Two texts with the same are
    one answer."""
    plain = _plain(text)
    return truth.read(plain) if plain and len(plain) <= MOST else None


def host_forms(names: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """For `HostNames`: hosts, each with what else it is called."""
    return {form.casefold(): name for name, forms in names for form in (name, *forms)}


def _plain(text: str) -> str:
    """The text in one form of its characters, in lower case; what cannot be seen is a blank."""
    shown = unicodedata.normalize("NFKC", text[: 20 * MOST])
    seen = ("".join(one if one.isprintable() else " " for one in shown)).casefold()
    return " ".join(seen.split())


def _tokens(text: str) -> list[str]:
    words = (word.strip(_AROUND) or word for word in _SEPARATOR.split(text))
    return [word for word in words if word]


def _number_in(text: str) -> float | None:
    """The one number in the text, in digits or in words up to twelve."""
    digits = [float(found.replace(",", "")) for found in _NUMBER.findall(text.rstrip("."))]
    if digits:
        return digits[0] if len(set(digits)) == 1 else None
    words = [_NUMBERS[word] for word in _tokens(text) if word in _NUMBERS and len(word) > 2]
    if not words and set(_tokens(text)) & _NOTHING:
        return 0
    return float(words[0]) if len(set(words)) == 1 else None


def _span_in(text: str) -> float | None:
    """The seconds of a time with its unit: `20 s`, `1 hour and 5 minutes`, `a minute`."""
    counted = " ".join(
        str(_NUMBERS[word]) if word in _NUMBERS else word
        for word in text.replace(",", " ").split()
        if word != "and"
    )
    parts = [(number, _UNIT[unit]) for number, unit in _PART.findall(counted) if unit in _UNIT]
    if not parts:
        return None
    try:
        return parse_duration("".join(f"{float(number):f}{unit}" for number, unit in parts))
    except ValueError:
        return None


def _ip(word: str) -> str | None:
    try:
        return str(ipaddress.ip_address(word))
    except ValueError:
        return None


def _phrase(text: str) -> str:
    """The words of a text, without articles and what stands around them; of signs alone, as <>, the
    signs."""
    words = re.split(r"[\s_-]+", _plain(text))
    bare = (word.strip(_AROUND) for word in words)
    phrase = " ".join(word for word in bare if word and word not in ("the", "a", "an"))
    return phrase or _plain(text).strip("\"'`")
