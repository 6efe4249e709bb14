"""The retry schedules against the numbers of MAIL-RULES C."""

import random
from itertools import pairwise

import pytest

from mxlab_services.config import RetryConfig
from mxlab_services.errors import ConfigError
from mxlab_services.queue.retry import DAY, HOUR, MINUTE, SCHEDULES, schedule_of

RNG = random.Random(1)


def times(name: str, until: float) -> list[float]:
    """When a message that nobody takes is tried, jitter left out."""
    schedule, age, tried = SCHEDULES[name], 0.0, [0.0]
    while (age := age + schedule.delay(len(tried), age)) <= until:
        tried.append(age)
    return tried


def test_c_all_schedules_are_there_by_name() -> None:
    assert list(SCHEDULES) == ["workshop", "postfix", "exim", "opensmtpd", "chasquid", "rfc"]


@pytest.mark.parametrize(
    ("name", "lifetime", "warning", "hops"),
    [
        ("postfix", 5 * DAY, 0, 50),
        ("exim", 4 * DAY, DAY, 30),
        ("opensmtpd", 4 * DAY, 4 * HOUR, 100),
        ("chasquid", 20 * HOUR, 0, 50),
    ],
)
def test_c_lifetime_warning_and_hop_limit(
    name: str, lifetime: float, warning: float, hops: int
) -> None:
    schedule = SCHEDULES[name]
    assert (schedule.lifetime, schedule.warning, schedule.hops) == (lifetime, warning, hops)


def test_c_postfix_waits_as_long_as_the_message_is_old_within_bounds() -> None:
    assert times("postfix", 3 * HOUR) == [0, 300, 600, 1200, 2400, 4800, 8800]


def test_c_exim_every_quarter_then_growing_then_every_six_hours() -> None:
    tried = times("exim", 4 * DAY)
    assert tried[:9] == [n * 15 * MINUTE for n in range(9)]
    growing = [at for at in tried if 2 * HOUR <= at <= 16 * HOUR]
    gaps = [later - earlier for earlier, later in pairwise(growing)]
    assert gaps == pytest.approx([HOUR * 1.5**n for n in range(len(gaps))])
    assert tried[-1] - tried[-2] == 6 * HOUR


def test_c_opensmtpd_tries_at_the_squares_of_its_step_after_the_message_came() -> None:
    assert times("opensmtpd", HOUR * 4) == [0, 400, 1600, 3600, 6400, 10000, 14400]


def test_c_opensmtpd_passes_over_what_is_past_and_counts_what_was_tried_early() -> None:
    schedule = SCHEDULES["opensmtpd"]
    assert schedule.delay(2, 10.0) == 1590  # a flush was its second attempt
    assert schedule.delay(2, 5000.0) == 1400  # it had slept
    assert schedule.delay(1, 400.0) == 1200


def test_c_chasquid_one_five_ten_then_twenty_minutes() -> None:
    assert times("chasquid", HOUR) == [n * MINUTE for n in (0, 1, 6, 16, 36, 56)]


def test_c_rfc_twice_in_the_first_hour_then_every_two_hours() -> None:
    tried = times("rfc", 6 * HOUR)
    assert [at for at in tried if at < HOUR] == [0, 30 * MINUTE]
    assert tried[2:] == [HOUR, 3 * HOUR, 5 * HOUR]


def test_c_workshop_takes_seconds() -> None:
    tried = times("workshop", 10 * MINUTE)
    assert tried[1] == 2
    assert max(b - a for a, b in pairwise(tried)) == 30


@pytest.mark.parametrize("name", ["workshop", "chasquid", "rfc"])
def test_c3_jitter_lengthens_and_comes_from_the_source_given(name: str) -> None:
    schedule = SCHEDULES[name]
    waits = [schedule.wait(3, HOUR, random.Random(seed)) for seed in range(50)]
    assert len(set(waits)) == 50
    assert min(waits) >= schedule.delay(3, HOUR)
    assert waits == [schedule.wait(3, HOUR, random.Random(seed)) for seed in range(50)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_c_jitter_can_be_set(name: str) -> None:
    plain = schedule_of(RetryConfig(schedule=name, jitter=0.0))
    assert {plain.wait(1, 0.0, random.Random(n)) for n in range(9)} == {plain.delay(1, 0.0)}
    half = schedule_of(RetryConfig(schedule=name, jitter=0.5))
    waits = [half.wait(1, 0.0, random.Random(n)) / half.delay(1, 0.0) for n in range(99)]
    assert 1.0 <= min(waits) < 1.1
    assert 1.4 < max(waits) <= 1.5


def test_c_postfix_has_no_jitter() -> None:
    assert SCHEDULES["postfix"].wait(1, 0, RNG) == 300


def test_c_no_schedule_overflows_after_years() -> None:
    for schedule in SCHEDULES.values():
        assert schedule.wait(100_000, 3650 * DAY, RNG) > 0


def test_lifetime_and_warning_can_be_configured() -> None:
    schedule = schedule_of(RetryConfig("exim", lifetime=60.0, warning=0.0))
    assert (schedule.lifetime, schedule.warning) == (60, 0)
    assert schedule_of(RetryConfig("exim")).lifetime == 4 * DAY


def test_an_unknown_schedule_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"'sendmail' is none of workshop, postfix"):
        schedule_of(RetryConfig("sendmail"))
