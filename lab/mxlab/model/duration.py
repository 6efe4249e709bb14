"""Durations as people write them: 500ms, 60s, 2h, 1h30m, 5d. All values are lab seconds."""

import math
import re
from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(title="duration")]  # lab seconds; in a file with a unit

LONGEST = 3660 * 86400.0  # lab seconds: ten years
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


def parse_duration(text: str) -> float:
    """The seconds in `text`. Raises ValueError for what is no duration, or longer than LONGEST."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration: write 500ms, 60s, 2h, 1h30m or 5d")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > LONGEST:
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise ValueError(f"{shown!r} is too long: the longest duration is ten years (3660d)")
    return seconds


def too_long(seconds: float) -> bool:
    """Whether it is no duration, or longer than LONGEST."""
    return not (math.isfinite(seconds) and 0 <= seconds <= LONGEST)


def format_duration(seconds: float) -> str:
    """The shortest usual form, which `parse_duration` reads back to the millisecond."""
    left = round(seconds * 1000)
    if left < 0:
        return "-" + format_duration(-seconds)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"
