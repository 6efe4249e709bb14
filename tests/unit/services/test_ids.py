"""Queue ids: sorted by age, unique, and made of digits and consonants."""

import random

from mxlab_services.ids import SeededIds
from tests.support.fakes import StillClock

ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZ"


def number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * len(ALPHABET) + ALPHABET.index(digit)
    return value


def test_an_id_is_the_microsecond_and_two_digits_of_chance() -> None:
    for at in (0.000001, 0.00003, 0.00031, 0.000961, 0.029791, 1.5, 1_795_806_965.294612):
        made = SeededIds(StillClock(at), random.Random(7)).queue_id()
        assert number(made[:-2]) == int(at * 1_000_000)
        assert made[:-2] == "" or made[0] != "0"
        assert number(made[-2:]) == random.Random(7).randrange(31**2)


def test_ids_of_one_moment_are_in_the_order_in_which_they_were_made() -> None:
    ids = SeededIds(StillClock(1_795_806_965.0), random.Random(0))
    made = [ids.queue_id() for _ in range(3000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {len(one) for one in made} == {13}
