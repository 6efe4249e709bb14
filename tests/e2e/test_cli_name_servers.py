"""Several name servers by hand, on local processes: dig, zone, kill, and mail that goes on.

::

    mxlab up ──> ns1 ══AXFR══> ns2 ── dig +trace, dig @ns2, zone add, kill ns1, send ──> mailbox
"""

from pathlib import Path

import pytest

from tests.support.command import Lab

TOPOLOGY = "dns: [ns1, ns2]\nmx: [{host: mx1, preference: 10}]\n"


@pytest.mark.long
def test_two_name_servers_by_hand(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(TOPOLOGY)
    lab("up", "--topology", str(tmp_path / "lab.yaml"))
    traced = lab("dig", "+trace", "example.test", "MX")
    assert "mx1.example.test." in traced
    assert "received" in traced
    assert "ns2" not in lab("dig", "@ns1", "example.test", "MX").split("SERVER")[1]
    lab("zone", "add", "new.example.test. 60 IN MX 10 mx1.example.test.")
    listed = lab("zone", "list", "example.test")
    assert "; zone example.test., serial 2, at ns1" in listed
    assert "a copy, at ns2" in listed
    lab("kill", "ns1")
    assert "serial 2, a copy, at ns2" in lab("zone", "list", "example.test")
    lab("send", "--to", "bob@example.test", "--wait")  # 0: delivered
    assert "bob@example.test" in lab("mailbox")
    said = lab.run("zone", "add", "a.example.test. A 10.0.0.1", code=3)
    assert "ns1 is stopped" in said.output  # the primary is where a zone is changed
    lab("dig", "@nobody", "example.test", code=2)
