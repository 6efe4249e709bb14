"""The page to print: a card for each seat, and nothing of the teacher's."""

import re

import segno

from mxlab.classroom.handout import handout, join_url
from mxlab.classroom.plan import make_plan

ROOT = "http://10.1.2.3:8000"


def test_each_seat_has_a_card_with_its_address_and_token() -> None:
    plan = make_plan("tuesday", "backup", 3)
    cards = handout(plan, ROOT).split("<article>")[1:]
    assert len(cards) == 3
    for seat, card in zip(plan.seats, cards, strict=True):
        assert f"Seat {seat.number}</h2>" in card
        assert f"{ROOT}/join/{seat.token}" in card
        others = [other.token for other in plan.seats if other is not seat]
        assert not any(token in card for token in others)


def test_the_code_of_a_card_is_that_of_its_address() -> None:
    plan = make_plan("tuesday", "backup", 2)
    paths = re.findall(r'<path[^>]* d="([^"]+)"', handout(plan, ROOT))
    wanted = [
        segno.make(join_url(ROOT, seat.token), error="m", micro=False).svg_inline()
        for seat in plan.seats
    ]
    assert len(paths) == 2
    assert paths[0] != paths[1]
    for path, code in zip(paths, wanted, strict=True):
        assert path in code


def test_the_teacher_s_token_and_the_secrets_are_not_in_it() -> None:
    plan = make_plan("tuesday", "backup", 4)
    page = handout(plan, ROOT)
    assert plan.teacher_token not in page
    assert not any(seat.secret in page for seat in plan.seats)


def test_what_an_address_holds_stays_text() -> None:
    page = handout(make_plan("tuesday", "backup", 1), 'http://x"><script>alert(1)</script>')
    assert "<script>" not in page


def test_it_loads_nothing_from_elsewhere() -> None:
    page = handout(make_plan("tuesday", "backup", 1), ROOT)
    assert not re.findall(r'(?:src|href)="?(?!#)', page)
