"""Text as a peer with bad intentions would send it, and what of it must never be printed."""

import unicodedata

HARM = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202etxt\u2066\u200b\u2028\udce9!"
_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
_HIDDEN = "\u200b\u200e\u200f\u2060\ufeff"


def harmful(text: str) -> str:
    """The characters of `text` that do something to a terminal or deceive its reader."""
    return "".join(sign for sign in text if _is_harmful(sign))


def _is_harmful(sign: str) -> bool:
    commands = sign not in "\n\t" and unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")
    return commands or sign in _HIDDEN or unicodedata.bidirectional(sign) in _TURNING
