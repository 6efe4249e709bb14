"""The picture of a lab that `mxlab status` shows."""

from typing import Any

import pytest

from mxlab.cli.layout import width_of
from mxlab.cli.picture import picture


def node(name: str, role: str, state: str = "running", queued: int | None = None) -> dict[str, Any]:
    return {"node": name, "role": role, "state": state, "queued": queued}


LAB = [
    node("dns", "dns"),
    node("mx2", "backup MX 20", queued=12),
    node("mx1", "primary MX 5", "stopped"),
    node("mail-three", "backup MX 100", "paused"),
    node("client", "client", queued=3),
]


def test_it_shows_preference_state_and_queue_in_the_order_of_trying() -> None:
    assert picture("example.test", LAB, None) == [
        "client: running, 3 queued",
        "  |--   5 --x mx1         stopped; delivers for example.test",
        "  |--  20 --> mx2         running, 12 queued; keeps mail for mx1",
        "  |-- 100 --x mail-three  paused; keeps mail for mx1",
        "dns: running; tells all where to go",
    ]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(width: int) -> None:
    lines = picture("example.test", LAB, width)
    assert max(map(width_of, lines)) <= width
    whole = picture("example.test", LAB, None)
    assert " ".join(lines).split() == " ".join(whole).split()


def test_a_lab_without_exchanges_has_a_picture_too() -> None:
    assert picture("example.test", [node("dns", "dns")], 80) == [
        "dns: running; tells all where to go"
    ]


def test_imap_servers_stand_beside_the_nodes() -> None:
    beside = [{"node": "imap", "for": "mx1", "state": "stopped", "published": {}}]
    lines = picture("example.test", LAB, None, beside)
    assert "imap: stopped; shows the mailboxes of mx1" in lines
    assert picture("example.test", LAB, None) == [one for one in lines if "imap" not in one]


def test_whose_mail_server_a_node_is_stands_with_it() -> None:
    lab = [{**one, "software": "exim 4.96"} for one in LAB if one["node"] in ("mx2", "client")]
    assert picture("example.test", lab, None) == [
        "client (exim 4.96): running, 3 queued",
        "  |-- 20 --> mx2  running, 12 queued; keeps mail for example.test with exim 4.96",
    ]
