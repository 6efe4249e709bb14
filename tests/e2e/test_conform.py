"""The rules of mail, tried on mxlab's own server in a lab of processes: none is broken."""

import msgspec
import pytest
from typer.testing import CliRunner

from mxlab.cli import app
from mxlab.conform.rules import SENDING, TAKING
from mxlab.conform.trying import ServerResults

PERMITTED = {"s-space-before-path", "b7-chunking"}  # that differ


def conform(*words: str) -> ServerResults:
    result = CliRunner().invoke(app, ["conform", "--backend", "process", "--json", *words])
    assert result.exit_code == 0, result.output
    (found,) = msgspec.json.decode(result.stdout, type=list[ServerResults])
    return found


@pytest.mark.long
def test_our_own_server_breaks_no_rule_and_all_can_be_seen() -> None:
    found = conform()
    assert [one.id for one in found.rules] == [*TAKING, *SENDING]
    others = {one.id: one for one in found.rules if one.result != "kept"}
    assert others.keys() == PERMITTED, others


def test_some_of_both_sides() -> None:
    rules = ("e3-received", "s-return-path", "b-multiline", "b7-helo", "b4-durable")
    found = conform(*(word for rule in rules for word in ("--rule", rule)))
    assert {one.id: one.result for one in found.rules} == dict.fromkeys(rules, "kept")
