"""A private Postfix for the tests: own configuration, queue and DNS, bound to a loopback address.

It runs in a mount namespace of its own, in which /etc/resolv.conf names the lab's DNS server; the
host's Postfix, if there is one, is not touched. Needs root and Debian's `postfix` package.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

MASTER = """\
{address}:25 inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def problem() -> str:
    """Why no Postfix can run here, or an empty string."""
    if os.geteuid() != 0:
        return "needs root, to have a mount namespace and port 25"
    for program in ("postfix", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return ""


class Postfix:
    """A running instance. `root` holds its queue, its configuration and its log."""

    def __init__(self, root: Path, address: str, dns: str) -> None:
        self.root, self.address = root, address
        self._dns = dns
        self._process: asyncio.subprocess.Process | None = None

    @property
    def maildirs(self) -> Path:
        return self.root / "mail"

    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    def configure(self, settings: Mapping[str, str]) -> None:
        for name in ("etc", "queue", "data", "mail"):
            (self.root / name).mkdir()
        shutil.chown(self.root / "data", "postfix")
        self.root.chmod(0o755)
        self.maildirs.chmod(0o777)
        values = {
            "compatibility_level": "3.6",
            "queue_directory": str(self.root / "queue"),
            "data_directory": str(self.root / "data"),
            "inet_interfaces": "all",  # Postfix takes no 127.x address that lo does not list ...
            "proxy_interfaces": self.address,  # ... but knows this one as its own all the same
            "inet_protocols": "ipv4",
            "smtp_bind_address": self.address,
            "maillog_file": "/dev/stdout",
            "mynetworks": "127.0.0.0/8",
            "mydestination": "",
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            "smtpd_peername_lookup": "no",
            "alias_maps": "",
            "local_recipient_maps": "",
            "virtual_mailbox_base": str(self.maildirs),
            "virtual_uid_maps": "static:65534",
            "virtual_gid_maps": "static:65534",
            "default_process_limit": "100",
            **settings,
        }
        etc = self.root / "etc"
        etc.joinpath("main.cf").write_text("".join(f"{k} = {v}\n" for k, v in values.items()))
        etc.joinpath("master.cf").write_text(MASTER.format(address=self.address))
        self.root.joinpath("resolv.conf").write_text(f"nameserver {self._dns}\n")

    async def start(self) -> None:
        """Start, and wait until the SMTP port answers."""
        script = 'mount --bind "$1" /etc/resolv.conf && exec postfix -c "$2" start-fg'
        with (self.root / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                "unshare", "--mount", "sh", "-c", script, "sh",
                str(self.root / "resolv.conf"), str(self.root / "etc"),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        async with asyncio.timeout(30):
            while True:
                try:
                    reader, writer = await asyncio.open_connection(self.address, 25)
                except OSError:
                    if self._process.returncode is not None:
                        raise RuntimeError(f"Postfix ended:\n{self.log()}") from None
                    await asyncio.sleep(0.05)  # the only sign that Postfix gives is its port
                    continue
                await reader.readline()
                writer.close()
                return

    async def stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        await self.command("postfix", "stop")
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def command(self, program: str, *arguments: str) -> str:
        """Run one of Postfix's programs on this instance (`postqueue -f`, say)."""
        process = await asyncio.create_subprocess_exec(
            program, "-c", str(self.root / "etc"), *arguments,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return output.decode()


@contextlib.asynccontextmanager
async def postfix(
    address: str, dns: str, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Postfix]:
    """A Postfix on `address` that resolves by the DNS server at `dns`; stopped on leaving."""
    root = Path(tempfile.mkdtemp(prefix="mxlab-postfix-"))
    instance = Postfix(root, address, dns)
    try:
        instance.configure(settings or {})
        await instance.start()
        yield instance
    finally:
        await instance.stop()
        shutil.rmtree(root, ignore_errors=True)
