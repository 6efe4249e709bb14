"""IPv6 alone, in the worlds that have it: mail, faults of the links, and nothing that is left.

::

    client ──x── mx1        AAAA records alone; the links fail as they do for IPv4
       └──────── mx2 ────┘
"""

import os
from pathlib import Path

import pytest

from mxlab.api.run import run
from mxlab.backends.process import loopback
from mxlab.errors import Unsupported
from mxlab.report.text import text
from mxlab.scenario.load import loads

STORY = """
mxlab: 1
title: Links over IPv6 alone
topology: {ip: [6]}
steps:
  - fault: {id: silent, drop: {host: mx1}}
  - send: {id: a, count: 1, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 1m, queue: {host: mx2, holds: a}}
  - heal: silent
  - eventually: {within: 2m, delivered: a}
  - wait: 5s  # a kept connection is none that can be refused
  - fault: {id: refused, reject: {host: mx1, how: prohibited}}
  - send: {id: b, count: 1, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 1m, queue: {host: mx2, holds: b}}
  - heal: refused
  - eventually: {within: 2m, delivered: b}
  - fault: {id: severed, cut-link: {host: mx1, after: 30000}}
  - send: {id: c, count: 1, size: 60000, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 3m, delivered: c}
  - heal: severed
  - fault: {id: narrow, limit-rate: {host: mx1, rate: 20000}}
  - send: {id: d, count: 1, size: 100000, from: alice@client.test, to: bob@example.test}
  - never: {during: 3s, delivered: d}
  - heal: narrow
  - eventually: {within: 3m, delivered: d}
expect: [nothing-lost, all-delivered, nothing-altered]
"""

PLAIN = """
mxlab: 1
title: The primary out, over IPv6 alone
topology: {ip: [6]}
steps:
  - fault: {id: down, kill: mx1}
  - send: {id: a, count: 2, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 1m, queue: {host: mx2, holds: a}}
  - heal: down
  - eventually: {within: 2m, delivered: a}
expect: [nothing-lost, all-delivered, nothing-altered]
"""


@pytest.mark.parametrize("backend", ["sim", pytest.param("docker", marks=pytest.mark.docker)])
def test_faults_of_the_links_strike_ipv6_too(backend: str) -> None:
    result = run(loads(STORY), backend=backend)
    assert result.verdict == "pass", text(result)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives this machine IPv6 addresses")
def test_local_processes_have_ipv6_and_leave_no_address() -> None:
    def listed() -> set[str]:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
        return {line.split()[0] for line in lines if line.startswith("20010db8")}

    before = listed()
    result = run(loads(PLAIN), backend="process")
    assert result.verdict == "pass", text(result)
    assert listed() == before


def test_who_is_not_root_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    loopback.check_addresses(["127.83.0.2"])
    with pytest.raises(Unsupported, match="only where root gives them"):
        loopback.check_addresses(["127.83.0.2", "2001:db8::2"])
