"""Packets of a lab of local processes: from what its nodes told; real ones cannot be had."""

from pathlib import Path

from tests.support.command import Lab
from tests.support.tshark import amiss, fields, flagged, needs_tshark, values

pytestmark = needs_tshark


def test_a_lab_of_processes_is_read_by_tshark(lab: Lab, tmp_path: Path) -> None:
    lab("up")
    lab("send", "--to", "bob@example.test", "--wait")
    path = tmp_path / "lab.pcapng"
    assert "from the record" in lab("capture", "-o", str(path))
    assert amiss(path) == []
    assert flagged(path) == []
    assert {"EHLO", "MAIL", "RCPT", "DATA"} <= values(path, "smtp.req.command")
    assert {"example.test", "mx1.example.test"} <= values(path, "dns.qry.name")
    assert fields(path, "frame.interface_name", where='smtp.req.command == "MAIL"') == [["client"]]


def test_real_packets_are_refused_and_the_other_way_is_named(lab: Lab, tmp_path: Path) -> None:
    lab("up")
    path = tmp_path / "wire.pcapng"
    said = lab.run("capture", "--live", "-o", str(path), code=3).output
    assert "has no wire of its own" in said
    assert "without --live, `mxlab capture` makes packets from the record" in said
    assert not path.exists()
