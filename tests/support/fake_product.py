"""The MailServer of `fake_mta`: what an agent needs of it."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from mxlab_services.config import MtaConfig
from mxlab_services.errors import ConfigError
from mxlab_services.products import base
from mxlab_services.products.base import Action, Fact, Held, ToolFailed
from tests.support import fake_mta

Routes = Mapping[str, Sequence[tuple[str, str, int]]]


class FakeGrammar:
    """Its log: `fact KIND JSON`, or `note ...`, which says nothing of these."""

    def read(self, line: str) -> Sequence[Fact] | None:
        word, _, rest = line.partition(" ")
        if word == "note":
            return []
        if word != "fact":
            return None
        kind, _, fields = rest.partition(" ")
        return [msgspec.convert(json.loads(fields), getattr(base, kind))]


class FakeServer:
    """One fake. It serves at `port`; `routes`: domain -> hosts with their addresses and ports."""

    def __init__(
        self,
        config: MtaConfig,
        port: int,
        routes: Routes | None = None,
        *,
        log: Path | None = None,
        command: Sequence[str] | None = None,
        retry: float = 60.0,
    ) -> None:
        self.config = config
        self.port = port
        self.routes = routes or {}
        self._log = log
        self._command = command
        self._retry = retry
        self.folder = Path(config.data) / "fake"

    @property
    def log(self) -> Path | None:
        return self._log

    def rendering(self) -> dict[str, Any]:
        config = self.config
        if config.smarthost:
            raise ConfigError("configuration: `smarthost`: the fake knows none")
        return {
            "hostname": config.hostname,
            "address": config.address,
            "port": self.port,
            "local": config.local_domains,
            "relayed": config.relay_domains,
            "users": config.recipients,
            "trusted": [net.partition("/")[0] for net in config.submission_networks],
            "size": config.limits.message_size,
            "tls": [config.tls.certificate, config.tls.key] if config.tls else None,
            "routes": self.routes,
            "retry": self._retry,
            "log": str(self._log) if self._log else "",
            "mailboxes": str(Path(config.data) / "mailboxes"),
        }

    def prepare(self) -> None:
        wanted = self.rendering()
        (self.folder / "queue").mkdir(parents=True, exist_ok=True)
        (self.folder / "fake.json").write_text(json.dumps(wanted))

    def command(self) -> Sequence[str]:
        return self._command or [sys.executable, fake_mta.__file__, str(self.folder)]

    def grammar(self) -> FakeGrammar:
        return FakeGrammar()

    async def version(self) -> str:
        return "1.0"

    async def queue(self) -> list[Held]:
        found = await self._tool("queue")
        return [
            Held(
                queue_id,
                "hold"
                if one["held"]
                else "deferred"
                if any(one["recipients"].values())
                else "active",
                one["sender"],
                one["size"],
                one["arrived"],
                one["recipients"],
                one["due"] or None,
            )
            for queue_id, one in sorted(found.items())
        ]

    async def content(self, queue_id: str) -> bytes | None:
        try:
            return (self.folder / "queue" / f"{queue_id}.eml").read_bytes()
        except FileNotFoundError:
            return None

    async def flush(self, *, site: str | None = None, queue_id: str | None = None) -> None:
        await self._tool("flush", site=site, id=queue_id)

    async def edit(self, action: Action, queue_ids: Sequence[str]) -> None:
        await self._tool(action, ids=list(queue_ids))

    async def forget(self) -> None:
        """It learns nothing."""

    async def reload(self) -> None:
        await self._tool("reload")

    async def _tool(self, what: str, **given: Any) -> Any:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.folder / "tools"))
        except OSError as error:
            raise ToolFailed(f"fake: {error}") from error
        writer.write(json.dumps({"do": what, **given}).encode() + b"\n")
        answer = json.loads(await reader.readline())
        writer.close()
        if isinstance(answer, dict) and "failed" in answer:
            raise ToolFailed(f"fake: {answer['failed']}")
        return answer


def _state(message: dict[str, Any]) -> Literal["active", "deferred", "hold"]:
    if message["held"]:
        return "hold"
    return "deferred" if any(message["recipients"].values()) else "active"
