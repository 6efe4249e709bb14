"""When to try again: the schedules of well-known mail systems, by name. Pure.

All times are lab seconds. A delay is a function of the attempts made and of the message's age; what
it is computed from is passed in, jitter's random source included (RFC 5321 §4.5.4.1).
"""

import functools
import math
import random
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from mxlab_services.config import RetryConfig
from mxlab_services.errors import ConfigError

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Schedule(Struct, frozen=True):
    """One system's habits.

    `delay` returns the wait after attempt number n (from 1) at age a; `jitter` is the share of it,
    and `jitter_seconds` the time, by which chance may lengthen it (never shorten it). `warning`:
    the age at which the sender hears of the delay, 0 for never. `hops`: Received fields that make a
    loop.
    """

    name: str
    delay: Callable[[int, float], float]
    lifetime: float
    warning: float
    hops: int
    jitter: float = 0.0
    jitter_seconds: float = 0.0

    def wait(self, attempts: int, age: float, rng: random.Random) -> float:
        """How long to wait after attempt number `attempts` at `age`, jitter included."""
        delay = self.delay(max(1, attempts), max(0.0, age))
        most = delay * self.jitter + self.jitter_seconds
        return delay + (rng.uniform(0, most) if most else 0.0)


def _workshop(attempts: int, age: float) -> float:
    return float(min(2.0 * 1.5 ** min(attempts - 1, 20), 30.0))


def _postfix(attempts: int, age: float) -> float:
    return min(max(age, 300.0), 4000.0)


def _exim(attempts: int, age: float) -> float:
    if age < 2 * HOUR:
        return 15 * MINUTE
    if age < 16 * HOUR:
        return age / 2  # intervals of 1 h x 1.5 each, begun at 2 h, add up to just that
    return 6 * HOUR


def _opensmtpd(attempts: int, age: float) -> float:
    """Attempt n + 1 is due 400 s x n² after the message came; what is past is passed over."""
    step = max(attempts, math.isqrt(int(age / 400.0)) + 1)
    return 400.0 * step**2 - age


def _chasquid(attempts: int, age: float) -> float:
    steps = (MINUTE, 5 * MINUTE, 10 * MINUTE)
    return next((step for step in steps if age < step), 20 * MINUTE)


def _rfc(attempts: int, age: float) -> float:
    return 30 * MINUTE if age < HOUR else 2 * HOUR


SCHEDULES: dict[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        Schedule("workshop", _workshop, DAY, 0.0, 100, jitter=0.1),
        Schedule("postfix", _postfix, 5 * DAY, 0.0, 50),
        Schedule("exim", _exim, 4 * DAY, DAY, 30),
        Schedule("opensmtpd", _opensmtpd, 4 * DAY, 4 * HOUR, 100),
        Schedule("chasquid", _chasquid, 20 * HOUR, 0.0, 50, jitter_seconds=MINUTE),
        Schedule("rfc", _rfc, 5 * DAY, 0.0, 100, jitter=0.1),
    )
}


@functools.cache
def schedule_of(config: RetryConfig) -> Schedule:
    """The schedule that `config` names, with its own lifetime and warning where it gives them.

    Raises ConfigError for an unknown name, with the names that there are.
    """
    found = SCHEDULES.get(config.schedule)
    if found is None:
        names = ", ".join(SCHEDULES)
        raise ConfigError(
            f"configuration: `retry.schedule`: {config.schedule!r} is none of {names}"
        )
    lifetime = found.lifetime if config.lifetime is None else config.lifetime
    warning = found.warning if config.warning is None else config.warning
    if config.jitter is not None:
        found = replace(found, jitter=config.jitter, jitter_seconds=0.0)
    return replace(found, lifetime=lifetime, warning=warning)
