"""Runs a node that kills itself at a chosen step: `python crash_node.py CONFIG PLAN`.

While the file PLAN is there, it names a step, and at that step the process sends itself SIGKILL.
`read-only` in place of a step makes the spool refuse all changes. The node's code is what users
run; only here, around it, are the seams wrapped.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from mxlab_services import events
from mxlab_services.__main__ import main
from mxlab_services.message import Queued
from mxlab_services.reply import Reply
from mxlab_services.smtp.client import connect as connections
from mxlab_services.smtp.client.connect import Connector
from mxlab_services.smtp.client.connection import ClientSession
from mxlab_services.storage import maildir as mailbox
from mxlab_services.storage.history import FileJournal
from mxlab_services.storage.maildir import MaildirMailboxes
from mxlab_services.storage.sqlite.spool import SqliteSpool
from mxlab_services.storage.sqlite.writer import Change, Put, Settle, Writer

P = ParamSpec("P")
T = TypeVar("T")


class Plan:
    """The file that says where to die."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def text(self) -> str:
        try:
            return self._path.read_text()
        except FileNotFoundError:
            return ""

    def reach(self, step: str) -> None:
        """Die here, if this is the step."""
        if self.text() == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, name: str, call: Callable[P, T]) -> Callable[P, T]:
        """`call` with a step before and one after it."""

        @wraps(call)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
            self.reach(f"{name}.before")
            result = call(*args, **kwargs)
            self.reach(f"{name}.after")
            return result

        return wrapped

    def awaited(self, name: str, call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Likewise, for a coroutine function."""

        @wraps(call)
        async def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
            self.reach(f"{name}.before")
            result = await call(*args, **kwargs)
            self.reach(f"{name}.after")
            return result

        return wrapped


def wrap_disk(plan: Plan) -> None:
    put = SqliteSpool.put

    async def restricted(self: SqliteSpool, message: Queued, content: bytes) -> None:
        await self.restrict(read_only=plan.text() == "read-only")
        await put(self, message, content)

    def named(changes: Sequence[Change], step: str) -> None:
        for change in changes:
            if isinstance(change, Put | Settle):
                plan.reach(f"{type(change).__name__.lower()}.{step}")

    apply, transaction = Writer._apply, Writer._transaction

    def applied(self: Writer, changes: Sequence[Change]) -> list[object]:
        outcomes = apply(self, changes)
        named(changes, "uncommitted")
        return outcomes

    def committed(self: Writer, changes: Sequence[Change]) -> list[object]:
        outcomes = transaction(self, changes)
        named(changes, "committed")
        return outcomes

    setattr(Writer, "_apply", applied)  # noqa: B010 - mypy takes no assignment to a method
    setattr(Writer, "_transaction", committed)  # noqa: B010
    setattr(SqliteSpool, "put", plan.awaited("put", restricted))  # noqa: B010
    setattr(SqliteSpool, "content", plan.awaited("content", SqliteSpool.content))  # noqa: B010
    setattr(SqliteSpool, "settle", plan.awaited("settle", SqliteSpool.settle))  # noqa: B010
    deliver = plan.awaited("deliver", MaildirMailboxes.deliver)
    setattr(MaildirMailboxes, "deliver", deliver)  # noqa: B010
    setattr(mailbox, "_write", plan.around("deliver.write", mailbox._write))  # noqa: B010
    setattr(mailbox, "_publish", plan.around("deliver.rename", mailbox._publish))  # noqa: B010
    for name in ("invoked", "ended"):
        setattr(FileJournal, name, plan.around(f"record.{name}", getattr(FileJournal, name)))


def wrap_network(plan: Plan) -> None:
    write, send, reply = asyncio.StreamWriter.write, ClientSession.send, ClientSession.reply

    def written(self: asyncio.StreamWriter, data: bytes) -> None:
        final = b"Ok: queued as" in data
        if final:
            plan.reach("250.before")
        write(self, data)
        if final:
            plan.reach("250.after")

    def sent(self: ClientSession, commands: Sequence[str]) -> None:
        verb = commands[0].partition(" ")[0]
        plan.reach(f"send-{verb}.before")
        send(self, commands)
        plan.reach(f"send-{verb}.after")

    async def read(self: ClientSession, within: float, to: str) -> Reply:
        found = await reply(self, within, to)
        plan.reach(f"reply-to-{to.replace(' ', '-')}")
        return found

    setattr(asyncio.StreamWriter, "write", written)  # noqa: B010
    setattr(ClientSession, "send", sent)  # noqa: B010
    setattr(ClientSession, "reply", read)  # noqa: B010
    dot = plan.awaited("send-dot", ClientSession.send_content)
    setattr(ClientSession, "send_content", dot)  # noqa: B010
    setattr(Connector, "open", plan.awaited("connect", Connector.open))  # noqa: B010
    setattr(connections, "MESSAGES", 1)  # noqa: B010 - so that each message sees every step


def wrap_events(plan: Plan) -> None:
    emit = events.Emitter.__call__

    def told(
        self: events.Emitter,
        body: events.Body,
        message: str | None = None,
        *,
        source: events.Source = "",
    ) -> None:
        emit(self, body, message, source=source)
        plan.reach(f"event-{body.kind}")

    setattr(events.Emitter, "__call__", told)  # noqa: B010


if __name__ == "__main__":
    configuration, plan_file = sys.argv[1:]
    the_plan = Plan(Path(plan_file))
    wrap_disk(the_plan)
    wrap_network(the_plan)
    wrap_events(the_plan)
    sys.exit(main(["--config", configuration]))
