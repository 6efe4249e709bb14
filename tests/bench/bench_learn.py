"""How long a student waits: `mxlab learn start`, and `learn check` in a lab at rest, which asks for
what is so and reads all events once. The whole command, against `mxlab status` on the same lab."""

import os
import secrets
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from tests.bench.table import Table, machine
from tests.support.command import MXLAB, SECONDS

EXERCISE = """\
mxlab: 1
exercise: At rest
minutes: 1
setup:
  - send: {id: batch, count: 5, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 60s, delivered: batch}
tasks:
  - {id: more, text: t, done: {mailbox: {address: bob@example.test, count: 6}}}
"""
ROUNDS = 7
RATIO = 2.0  # of a check to a status, at most
pytestmark = pytest.mark.bench


@pytest.mark.parametrize("backend", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_check_beside_a_status(tmp_path: Path, backend: str) -> None:
    (tmp_path / "rest.yaml").write_text(EXERCISE)
    lab = f"bench-{secrets.token_hex(3)}"
    own = {"MXLAB_LEARN": str(tmp_path / "learn"), "MXLAB_STATE_DIR": str(tmp_path / "state")}

    def seconds(*words: str, code: int = 0) -> float:
        began = time.perf_counter()
        ran = subprocess.run(
            [*MXLAB, *words], env={**os.environ, **own, "MXLAB_LAB": lab}, timeout=SECONDS,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == code, ran.stderr
        return time.perf_counter() - began

    file = str(tmp_path / "rest.yaml")
    try:
        start = seconds("learn", "start", file, "--backend", backend, "--lab", lab)
        time.sleep(1.5)  # until the lab is at rest: what is measured is no wait
        pairs = [
            (seconds("learn", "check", code=1), seconds("status", "--lab", lab))
            for _ in range(ROUNDS)
        ]
    finally:
        seconds("down", lab)
    check, status = (statistics.median(column) for column in zip(*pairs, strict=True))
    table = Table(f"A student's wait, {backend} ({machine()})", "command", "s", "to status")
    table.row("mxlab status", f"{status:.2f}", 1)
    table.row("mxlab learn check, at rest", f"{check:.2f}", f"{check / status:.2f}")
    table.row("mxlab learn start", f"{start:.2f}", f"{start / status:.1f}")
    table.show()
    assert check / status <= RATIO
