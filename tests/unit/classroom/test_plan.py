"""A class on paper: who has which seed and which secret, and what is no class."""

from pathlib import Path

import pytest

from mxlab.classroom.plan import make_plan, read_plan, write_plan
from mxlab.errors import EnvironmentProblem, UsageError


def test_every_seat_has_a_seed_and_secrets_of_its_own() -> None:
    plan = make_plan("autumn", "the-address-book", 30)
    assert [seat.number for seat in plan.seats] == list(range(1, 31))
    assert len({seat.seed for seat in plan.seats}) == 30
    secrets = [plan.teacher_token, *(s.token for s in plan.seats), *(s.secret for s in plan.seats)]
    assert len(set(secrets)) == 61
    assert all(len(secret) >= 22 for secret in secrets)


def test_a_class_made_again_has_the_same_seeds_and_other_secrets() -> None:
    one, other = (make_plan("autumn", "the-address-book", 3) for _ in range(2))
    assert [seat.seed for seat in one.seats] == [seat.seed for seat in other.seats]
    assert one.seats[0].token != other.seats[0].token
    assert make_plan("spring", "the-address-book", 3).seats[0].seed != one.seats[0].seed


def test_what_is_written_is_read(tmp_path: Path) -> None:
    plan = make_plan("autumn", "the-address-book", 2, port=8080)
    file = tmp_path / "class.json"
    file.write_bytes(write_plan(plan))
    assert read_plan(file) == plan
    assert plan.seat(2).host == "seat-2"


@pytest.mark.parametrize("content", [b"", b"{}", b'{"name": "x"}', b"\xff", b"[1]"])
def test_what_is_no_class_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "class.json"
    file.write_bytes(content)
    with pytest.raises(EnvironmentProblem, match="this is no class"):
        read_plan(file)
    with pytest.raises(EnvironmentProblem, match="No such file"):
        read_plan(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("name", "seats", "port", "said"),
    [
        ("", 3, 8000, "an empty name"),
        ("Über", 3, 8000, "name of a class"),
        ("autumn", 0, 8000, "1 to 200 seats"),
        ("autumn", 201, 8000, "1 to 200 seats"),
        ("autumn", 3, 70000, "a port is"),
    ],
)
def test_what_cannot_be_a_class_is_refused(name: str, seats: int, port: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_plan(name, "the-address-book", seats, port)


def test_a_seat_that_is_none_is_named() -> None:
    with pytest.raises(UsageError, match="no seat 4 in class autumn") as caught:
        make_plan("autumn", "the-address-book", 3).seat(4)
    assert caught.value.hint == "seats 1 to 3"
