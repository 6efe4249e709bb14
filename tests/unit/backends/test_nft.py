"""The rules that a shape of the links becomes, at either end."""

import pytest

from mxlab.backends.base import Shape
from mxlab.backends.docker.nft import apply_script, remove_script, ruleset, table_name

PEERS = ["10.0.0.4", "10.0.0.5"]


def rules(shape: Shape, *, inward: bool) -> str:
    return ruleset(shape, PEERS, inward=inward)


@pytest.mark.parametrize("inward", [True, False])
def test_a_drop_stands_at_both_ends_and_only_where_packets_arrive(inward: bool) -> None:
    text = rules(Shape(drop=True), inward=inward)
    assert "ip saddr { 10.0.0.4, 10.0.0.5 } drop" in text
    assert "hook input" in text
    assert "output" not in text


@pytest.mark.parametrize(("share", "drawn"), [(0.3, 30000), (0.000001, 1), (0.999, 99900)], ids=str)
def test_a_loss_is_drawn_for_each_packet_at_both_ends(share: float, drawn: int) -> None:
    for inward in (True, False):
        text = rules(Shape(loss=share), inward=inward)
        assert f"numgen random mod 100000 < {drawn} counter drop" in text


@pytest.mark.parametrize(
    ("how", "words"), [("reset", "tcp reset"), ("prohibited", "icmp admin-prohibited")]
)
def test_a_reject_meets_new_connections_to_the_host_alone(how: str, words: str) -> None:
    shape = Shape(reject="reset" if how == "reset" else "prohibited")
    assert f"== syn reject with {words}" in rules(shape, inward=True)
    assert rules(shape, inward=False) == ""


def test_a_cut_counts_content_and_strikes_once() -> None:
    text = rules(Shape(cut_after=1000), inward=True)
    assert "ct original packets 1 ct original bytes > 1060 jump cut" in text
    assert "ct reply packets 10 ct reply bytes > 1528 jump cut" in text
    assert text.count("numgen inc") == 1
    assert rules(Shape(cut_after=1000), inward=False) == ""


def test_a_fault_has_a_table_of_its_own_that_any_name_can_have() -> None:
    odd = "a fault; delete table inet x\n\u202e"
    assert table_name(odd) != table_name("another")
    for script in (apply_script(odd, rules(Shape(drop=True), inward=True)), remove_script(odd)):
        assert odd not in script
        assert f"delete table inet {table_name(odd)}" in script
