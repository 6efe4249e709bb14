"""Postfix 3.7 in a node: started without its start script, and asked by its own tools."""

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mxlab_services.address import domain_of
from mxlab_services.config import MtaConfig
from mxlab_services.domain import fold_domain
from mxlab_services.errors import ConfigError
from mxlab_services.products.base import Action, Grammar, Held, ToolFailed
from mxlab_services.products.child import ENVIRONMENT
from mxlab_services.products.postfix_config import OWNER, Folders, rendered
from mxlab_services.products.postfix_log import PostfixGrammar
from mxlab_services.products.tool import SECONDS, run_tool

POSTCONF = "/usr/sbin/postconf"
MASTER = "/usr/lib/postfix/sbin/master"
SETTLED = 60.0  # seconds since when a file of the configuration is as it is
_MORE_LOOKS = 2  # at a queue in which messages move while it is listed
NOBODY = "MAILER-DAEMON"  # how its tools write the null reverse-path
_FLAGS: dict[Action, str] = {
    "hold": "-h", "release": "-H", "requeue": "-r", "delete": "-d", "expire": "-f",
}  # fmt: skip
# Folder of the queue -> whose it is, and its mode (postfix-files).
_FOLDERS = {
    **dict.fromkeys(
        ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
         "saved", "trace"), ("postfix", "root", 0o700),
    ),
    "maildrop": ("postfix", "postdrop", 0o730),
    "public": ("postfix", "postdrop", 0o710),
    "pid": ("root", "root", 0o755),
}  # fmt: skip


class PostfixServer:
    """One Postfix (a MailServer)."""

    log = None

    def __init__(self, config: MtaConfig) -> None:
        self._config = config
        self._places = Folders(Path(config.data))

    def prepare(self) -> None:
        """What `postfix start` would check and make, for one version and one set of folders."""
        files = rendered(self._config)
        places = self._places
        places.data.mkdir(parents=True, exist_ok=True)
        places.data.chmod(0o755)  # its processes pass through, as users of their own
        for folder in (places.etc.parent, places.etc, places.queue):
            _folder(folder, "root", "root", 0o755)
        _folder(places.lib, "postfix", "root", 0o700)
        for name, (user, group, mode) in _FOLDERS.items():
            _folder(places.queue / name, user, group, mode)
        places.mailboxes.mkdir(mode=0o700, exist_ok=True)
        os.chown(places.mailboxes, OWNER, OWNER)
        for name, text in files.items():
            _write(places.etc / name, text, secret=name == "tls.pem")
        self._know(self._config.product_settings)

    def _know(self, settings: Iterable[str]) -> None:
        """Raise ConfigError for a setting that this Postfix has not: it would pass it over."""
        names = list(settings)
        if not names:
            return
        command = (POSTCONF, "-c", str(self._places.etc), *names)
        done = subprocess.run(
            command, capture_output=True, text=True, env=dict(ENVIRONMENT), timeout=SECONDS,
            check=False,
        )  # fmt: skip
        if done.returncode or done.stderr:
            said = done.stderr.partition("\n")[0].removeprefix(f"{POSTCONF}: warning: ")
            raise ConfigError(f"configuration: `product_settings`: {said}")

    def rendering(self) -> object:
        return rendered(self._config)

    def command(self) -> Sequence[str]:
        return (MASTER, "-c", str(self._places.etc), "-s")

    def grammar(self) -> Grammar:
        return PostfixGrammar()

    async def version(self) -> str:
        return (await self._tool("postconf", "-dh", "mail_version")).decode().strip()

    async def queue(self) -> list[Held]:
        waiting = _waiting(self._places.queue)
        found = await self._listed()
        for _ in range(_MORE_LOOKS):
            if not any(map(self._is_there, waiting - found.keys())):
                break
            found = await self._listed()
        due = _due(self._places.queue / "deferred")
        return [_held(found[queue_id], due.get(queue_id)) for queue_id in sorted(found)]

    async def _listed(self) -> dict[str, dict[str, Any]]:
        lines = (await self._tool("postqueue", "-j")).splitlines()
        return {str(entry["queue_id"]): entry for entry in map(json.loads, lines)}

    async def content(self, queue_id: str) -> bytes | None:
        if not self._is_there(queue_id):  # its tool would wait a second before it says so
            return None
        code, written = await self._run(("postcat", "-bhq", queue_id), accept=(0, 1))
        return None if code else written.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def _is_there(self, queue_id: str) -> bool:
        queue = self._places.queue
        hashed = queue / "deferred"
        places = (queue / "incoming", queue / "active", *hashed.iterdir(), queue / "hold")
        return any((place / queue_id).exists() for place in places)

    async def flush(self, *, site: str | None = None, queue_id: str | None = None) -> None:
        if queue_id is not None:
            await self._tool("postqueue", "-i", queue_id)
        elif site is not None:
            await self._flush_site(fold_domain(site))
        else:
            await self._tool("postqueue", "-f")

    async def _flush_site(self, site: str) -> None:
        """Postfix knows what waits for the domains that it relays for, as ETRN needs it
        (fast_flush_domains); for others its queue is looked through."""
        if site in map(fold_domain, self._config.relay_domains):
            await self._tool("postqueue", "-s", site)
            return
        for held in await self.queue():
            if held.state != "hold" and any(domain_of(one) == site for one in held.reasons):
                await self._tool("postqueue", "-i", held.queue_id)

    async def edit(self, action: Action, queue_ids: Sequence[str]) -> None:
        listed = "".join(f"{queue_id}\n" for queue_id in queue_ids).encode()
        await self._tool("postsuper", _FLAGS[action], "-", given=listed)
        if action == "requeue":
            await self._tool("postkick", "public", "pickup", "W")
        elif action == "expire":  # it is given back at its next attempt
            for queue_id in queue_ids:
                await self._tool("postqueue", "-i", queue_id)

    async def forget(self) -> None:
        """The queue manager's dead destinations; it keeps no more of others."""
        await self._tool("postkick", "public", "qmgr", "D")

    async def reload(self) -> None:
        """As `postfix reload`: the master starts its processes anew as they end."""
        path = self._places.queue / "pid" / "master.pid"
        try:
            os.kill(int(path.read_text()), signal.SIGHUP)
        except (OSError, ValueError) as error:
            raise ToolFailed(f"postfix reload: {path}: {error}") from error

    async def _tool(self, name: str, *arguments: str, given: bytes = b"") -> bytes:
        return (await self._run((name, *arguments), given))[1]

    async def _run(
        self, command: Sequence[str], given: bytes = b"", accept: Sequence[int] = (0,)
    ) -> tuple[int, bytes]:
        name, *arguments = command
        whole = (f"/usr/sbin/{name}", "-c", str(self._places.etc), *arguments)
        return await run_tool(whole, given, environment=ENVIRONMENT, accept=accept)


def _folder(path: Path, user: str, group: str, mode: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    try:
        shutil.chown(path, user, group)
    except LookupError as error:
        raise ConfigError(f"this is no image with Postfix: {error}") from error
    path.chmod(mode)


def _write(path: Path, text: str, *, secret: bool) -> None:
    """Whole or not at all, in case it is read just now. Postfix waits before it reads a file that
    was written a moment ago, in each of its processes: so this one is older than it is."""
    half = path.with_name(f".{path.name}.new")
    half.touch(mode=0o600)
    half.write_text(text)
    half.chmod(0o600 if secret else 0o644)
    written = half.stat().st_mtime
    os.utime(half, (written, written - SETTLED))
    half.rename(path)


def _held(entry: dict[str, Any], due: float | None) -> Held:
    sender, queue = str(entry["sender"]), entry["queue_name"]
    return Held(
        queue_id=str(entry["queue_id"]),
        state=queue if queue in ("active", "deferred", "hold") else "incoming",
        sender="" if sender == NOBODY else sender,
        size=int(entry["message_size"]),
        arrived=float(entry["arrival_time"]),
        reasons={
            str(one["address"]): str(one.get("delay_reason", "")) for one in entry["recipients"]
        },
        next_attempt=due if queue == "deferred" else None,
    )


def _waiting(queue: Path) -> set[str]:
    """The ids of what is whole in the queue. Folders are read in the order in which a message goes
    to be tried; its tool reads them the other way, and misses one that goes meanwhile."""
    found: set[str] = set()
    for files in (queue.glob("deferred/*/*"), queue.glob("incoming/*"), queue.glob("active/*")):
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # it has just moved on
                if file.stat().st_mode & stat.S_IXUSR:  # else it is being written
                    found.add(file.name)
    return found


def _due(deferred: Path) -> dict[str, float]:
    """When each deferred message is due: its file's time. It is tried at the first look at the
    queue after that (qmgr(8))."""
    found: dict[str, float] = {}
    for file in deferred.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):  # it has just left
            found[file.name] = file.stat().st_mtime
    return found
