"""Name servers of others, on a loopback address that is not ours: BIND, NSD, Knot.

Each is at `THEIRS`, ours at `OURS`, all on one port, as name servers are. They notify and ask
nobody else. Skipped by name where a program is not installed.
"""

import asyncio
import contextlib
import random
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mxlab_services.dns.names import parse_name
from mxlab_services.dns.query import DnsClient

OURS, THEIRS = "127.78.0.1", "127.0.0.1"  # BIND serves addresses of interfaces only
PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
Config = Callable[[Path, int, bool], list[str]]


def installed(program: str) -> str | None:
    """The path of a server program, which may lie where only root looks."""
    return shutil.which(program, path=PATH)


def free_port() -> int:
    """A port that is free for UDP and TCP on both addresses."""
    while True:
        with socket.socket() as first:
            first.bind((OURS, 0))
            port = int(first.getsockname()[1])
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                for address in (OURS, THEIRS):
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        if (address, kind) != (OURS, socket.SOCK_STREAM):
                            stack.enter_context(socket.socket(type=kind)).bind((address, port))
                return port


def bind(folder: Path, port: int, primary: bool) -> list[str]:
    """The command that runs BIND as primary or secondary of example.test."""
    role = (
        'type primary; file "zone";'
        if primary
        else f'type secondary; primaries port {port} {{ {OURS}; }}; file "copy";'
    )
    (folder / "named.conf").write_text(f"""
options {{
  directory "{folder}"; pid-file "{folder}/pid"; session-keyfile "{folder}/key";
  listen-on port {port} {{ {THEIRS}; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; empty-zones-enable no;
  notify explicit; also-notify {{ {OURS} port {port}; }}; notify-source {THEIRS};
  transfer-source {THEIRS}; allow-transfer {{ {OURS}; }}; allow-notify {{ {OURS}; }};
}};
controls {{ }};
zone "example.test" {{ {role} }};
""")
    return ["named", "-g", "-c", str(folder / "named.conf")]


def nsd(folder: Path, port: int, primary: bool) -> list[str]:
    """The same for NSD."""
    role = (
        f'  zonefile: "zone"\n  notify: {OURS}@{port} NOKEY\n  provide-xfr: {OURS} NOKEY\n'
        if primary
        else f'  zonefile: "copy"\n  request-xfr: AXFR {OURS}@{port} NOKEY\n  allow-notify: {OURS} '
        "NOKEY\n"
    )
    (folder / "nsd.conf").write_text(f"""
server:
  ip-address: {THEIRS}@{port}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  pidfile: "{folder}/pid"
  database: ""
  xfrdfile: "{folder}/xfrd"
  xfrdir: "{folder}"
  zonelistfile: "{folder}/zones"
  cookie-secret-file: "{folder}/cookies"
  xfrd-reload-timeout: 0
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: "example.test"
  outgoing-interface: {THEIRS}
{role}""")
    return ["nsd", "-d", "-c", str(folder / "nsd.conf")]


def knot(folder: Path, port: int, primary: bool) -> list[str]:
    """The same for Knot."""
    role = "file: zone\n    notify: ours" if primary else "file: copy\n    master: ours"
    (folder / "knot.conf").write_text(f"""
server:
  listen: {THEIRS}@{port}
  rundir: {folder}
database:
  storage: {folder}
remote:
  - id: ours
    address: {OURS}@{port}
    via: {THEIRS}
acl:
  - id: ours
    address: {OURS}
    action: [transfer, notify]
zone:
  - domain: example.test
    storage: {folder}
    acl: ours
    {role}
""")
    return ["knotd", "-c", str(folder / "knot.conf")]


@asynccontextmanager
async def running(command: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program while it runs."""
    path = installed(command[0])
    assert path is not None
    process = await asyncio.create_subprocess_exec(
        path, *command[1:], stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def serial_at(address: str, port: int, source: str) -> int | None:
    """The serial of example.test at a server, None where it does not serve it."""
    exchange = DnsClient((address, port), random.Random(), (1.0,), source=(source, 0))
    reply = await exchange.ask(parse_name("example.test"), "SOA")
    if reply is None or not reply.message.rr:
        return None
    return int(reply.message.rr[0].rdata.times[0])
