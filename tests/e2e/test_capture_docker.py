"""Packets of a lab of containers: real ones, by a helper that is gone afterwards, and from what its
nodes told; tshark reads SMTP and DNS out of both."""

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from mxlab.backends.docker.shape import LAB, ROLE, SNIFF_ROLE
from tests.support.command import MXLAB
from tests.support.tshark import about, amiss, fields, flagged, needs_tshark, values

pytestmark = [pytest.mark.docker, needs_tshark]
SECONDS = 120


class Typed:
    """The command, on one lab of containers."""

    def __init__(self, folder: Path) -> None:
        self.lab = f"capture-{secrets.token_hex(3)}"
        self.environment = {
            **os.environ,
            "MXLAB_STATE_DIR": str(folder / "state"),
            "MXLAB_LAB": self.lab,
            "MXLAB_BACKEND": "docker",
        }

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*MXLAB, *words], capture_output=True, text=True, timeout=300, check=False,
            env=self.environment,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def listening(self, *words: str) -> "subprocess.Popen[str]":
        """`mxlab capture --live`, once it listens."""
        started = subprocess.Popen(
            [*MXLAB, "capture", "--live", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=self.environment,
        )  # fmt: skip
        assert started.stderr is not None
        line = started.stderr.readline()
        while line and "listening at" not in line:
            line = started.stderr.readline()
        assert "listening at" in line
        return started

    def helpers(self) -> list[str]:
        """The helpers that are there now."""
        api = docker.from_env()
        try:
            labels = [f"{LAB}={self.lab}", f"{ROLE}={SNIFF_ROLE}"]
            return [str(c.name) for c in api.containers.list(all=True, filters={"label": labels})]
        finally:
            api.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typed]:
    typed = Typed(tmp_path_factory.mktemp("capture"))
    typed("up")
    yield typed
    typed("down")


def test_what_goes_over_the_wire_is_seen_once_and_ctrl_c_ends_it(
    lab: Typed, tmp_path: Path
) -> None:
    path = tmp_path / "wire.pcapng"
    started = lab.listening("-o", str(path), "--for", "10m")
    assert len(lab.helpers()) == 4
    lab("send", "--to", "bob@example.test", "--wait")
    started.send_signal(signal.SIGINT)
    out, _ = started.communicate(timeout=SECONDS)
    assert started.returncode == 0
    assert "from the wire" in out
    assert lab.helpers() == []
    assert {"EHLO", "MAIL", "RCPT", "DATA"} <= values(path, "smtp.req.command")
    assert {"example.test", "mx1.example.test"} <= values(path, "dns.qry.name")
    assert amiss(path, checksums=False) == []  # a kernel leaves them to hardware
    assert flagged(path, checksums=False) == []  # a retransmission would be a packet seen twice
    mail = fields(path, "frame.interface_name", where='smtp.req.command == "MAIL"')
    assert mail == [["client"]]
    assert {row[0] for row in fields(path, "frame.interface_name")} >= {"client", "mx1", "dns"}
    assert "real packets" in about(path)


def test_at_one_node_both_ways_and_bounded_in_time(lab: Typed, tmp_path: Path) -> None:
    path = tmp_path / "one.pcapng"
    started = lab.listening("-o", str(path), "--for", "8s", "--node", "mx1", "--json")
    lab("send", "--to", "bob@example.test", "--wait")
    out, _ = started.communicate(timeout=SECONDS)
    assert started.returncode == 0
    told = json.loads(out)
    assert told["packets"] > 10
    assert not told["full"]
    assert not told["interrupted"]
    assert lab.helpers() == []
    assert set(values(path, "frame.interface_name")) == {"mx1"}
    assert fields(path, "frame.number", where='smtp.req.command == "MAIL"') != []
    assert fields(path, "frame.number", where="smtp.response.code == 354") != []
    assert flagged(path, checksums=False) == []


def test_bounded_in_size(lab: Typed, tmp_path: Path) -> None:
    path = tmp_path / "full.pcapng"
    started = lab.listening("-o", str(path), "--for", "10m", "--most", "1", "--json")
    lab("send", "--to", "bob@example.test", "--size", "3000000", "--wait")
    out, _ = started.communicate(timeout=SECONDS)
    assert started.returncode == 0
    assert json.loads(out)["full"]
    assert 1 << 20 <= path.stat().st_size < 3 << 20
    assert lab.helpers() == []


def test_a_node_that_is_stopped_is_left_out_or_told(lab: Typed, tmp_path: Path) -> None:
    lab("stop", "mx2")
    try:
        said = lab(
            "capture", "--live", "--node", "mx2", "-o", str(tmp_path / "x"), "--for", "1s", code=3
        )
        assert "mx2 is not on the network" in said
        assert "stopped, and so not listened at: mx2" in lab(
            "capture", "--live", "-o", str(tmp_path / "y"), "--for", "1s"
        )
    finally:
        lab("start", "mx2")
    assert not (tmp_path / "x").exists()
    assert lab.helpers() == []


def test_words_that_make_no_sense(lab: Typed, tmp_path: Path) -> None:
    out = str(tmp_path / "x")
    assert "no node is called" in lab("capture", "--live", "--node", "nobody", "-o", out, code=2)
    assert "leave one of them out" in lab("capture", "run.jsonl", "--live", "-o", out, code=2)
    assert "--for" in lab("capture", "--live", "--for", "never", "-o", out, code=2)
    assert "is for --live" in lab("capture", "--node", "mx1", "-o", out, code=2)
    assert list(tmp_path.iterdir()) == []


def test_the_record_of_the_lab_is_read_like_the_wire(lab: Typed, tmp_path: Path) -> None:
    path = tmp_path / "record.pcapng"
    lab("send", "--to", "bob@example.test", "--wait")
    lab("capture", "-o", str(path))
    assert amiss(path) == []
    assert flagged(path) == []
    assert {"EHLO", "MAIL", "RCPT", "DATA"} <= values(path, "smtp.req.command")
    assert {"example.test", "mx1.example.test"} <= values(path, "dns.qry.name")
