# ruff: noqa: TID251, N802 - a program of its own, with the host's time; names as aiosmtpd has them
"""A small mail server that stands for a product: a program of its own, with a queue, a log, tools.

`python fake_mta.py FOLDER` serves as FOLDER/fake.json says: SMTP at an address, by the PROXY
protocol; a file for each queued message; a log whose lines are facts in JSON; a Unix socket on
which its tools talk to it. It runs without anything of ours.
"""

import asyncio
import contextlib
import email.utils
import itertools
import json
import os
import signal
import smtplib
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session


class FakeMta:
    """The server. `wanted`: hostname, port, local, relayed, users, size, routes, retry, log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wanted: dict[str, Any] = json.loads((folder / "fake.json").read_text())
        self.queue: dict[str, dict[str, Any]] = {}
        self.busy: set[str] = set()
        self.log_file = sys.stdout
        if self.wanted["log"]:
            self.log_file = Path(self.wanted["log"]).open("a")  # noqa: SIM115 - as long as it runs
        self.due = asyncio.Event()
        self.numbers = itertools.count()
        for path in sorted((folder / "queue").glob("*.json")):
            self.queue[path.stem] = json.loads(path.read_text())

    def tls(self) -> ssl.SSLContext | None:
        if self.wanted["tls"] is None:
            return None
        pem = self.folder / "tls.pem"
        pem.write_text("".join(self.wanted["tls"]))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    def log(self, line: str) -> None:
        self.log_file.write(line + "\n")
        self.log_file.flush()

    def fact(self, kind: str, **fields: Any) -> None:
        self.log(f"fact {kind} {json.dumps(fields)}")

    # --- in ---------------------------------------------------------------------------------------

    async def handle_PROXY(
        self, server: Any, session: Session, envelope: Envelope, data: Any
    ) -> bool:
        session.peer = str(data.src_addr)
        return True

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        local, _, domain = address.lower().partition("@")
        reply = "250 2.1.5 ok"
        trusted = peer_of(session) in self.wanted["trusted"]
        if domain in self.wanted["local"] + self.wanted["relayed"]:
            users = self.wanted["users"]
            known = (*users, f"postmaster@{domain}") if users is not None else None
            if known is not None and not {f"{local}@{domain}", mailbox_of(address)} & {*known}:
                reply = f"550 5.1.1 <{address}> unknown"
        elif not trusted:
            reply = f"550 5.7.1 <{address}> relay access denied"
        if reply[0] != "2":
            self.fact("Refusal", verb="RCPT", reply=reply, peer=peer_of(session), recipient=address)
        else:
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        assert envelope.content is not None
        content = bytes(envelope.content)  # type: ignore[arg-type]
        queue_id = self.take(
            envelope.mail_from or "", envelope.rcpt_tos, content, peer_of(session),
            session.host_name or "",
        )  # fmt: skip
        self.due.set()
        return f"250 2.0.0 Ok: queued as {queue_id}"

    def take(
        self, sender: str, recipients: list[str], content: bytes, peer: str = "", helo: str = "",
        about: str = "",
    ) -> str:  # fmt: skip
        queue_id = f"{time.time_ns():016x}{next(self.numbers)}".upper()
        trace = (
            f"Received: by {self.wanted['hostname']} id {queue_id}; {email.utils.formatdate()}\r\n"
        )
        (self.folder / "queue" / f"{queue_id}.eml").write_bytes(trace.encode() + content)
        message = {
            "sender": sender, "recipients": dict.fromkeys(recipients, ""), "size": len(content),
            "arrived": time.time(), "held": False, "due": 0.0,
        }  # fmt: skip
        self.queue[queue_id] = message
        self.keep(queue_id)
        self.fact(
            "Arrived", queue_id=queue_id, sender=sender, recipients=recipients,
            size=len(content), peer=peer, helo=helo, protocol="ESMTP" if peer else "", about=about,
        )  # fmt: skip
        return queue_id

    def keep(self, queue_id: str) -> None:
        path = self.folder / "queue" / f"{queue_id}.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps(self.queue[queue_id]))
        with new.open() as file:
            os.fsync(file.fileno())
        new.rename(path)

    def leave(self, queue_id: str) -> None:
        for suffix in ("json", "eml"):
            (self.folder / "queue" / f"{queue_id}.{suffix}").unlink(missing_ok=True)
        if self.queue.pop(queue_id, None) is not None:
            self.fact("Left", queue_id=queue_id)

    # --- out --------------------------------------------------------------------------------------

    async def deliver(self) -> None:
        while True:
            self.due.clear()
            now = time.time()
            for queue_id, message in list(self.queue.items()):
                if not message["held"] and message["due"] <= now and queue_id in self.queue:
                    await self.attempt(queue_id, message)
            waits = [one["due"] for one in self.queue.values() if not one["held"]]
            wait = max(0.01, min(waits, default=now + 60) - time.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.due.wait(), wait)

    async def attempt(self, queue_id: str, message: dict[str, Any]) -> None:
        content = (self.folder / "queue" / f"{queue_id}.eml").read_bytes()
        failed: dict[str, str] = {}
        for recipient in list(message["recipients"]):
            domain = recipient.partition("@")[2]
            if domain in self.wanted["local"]:
                self.store(queue_id, message, recipient, content)
                outcome, reply = "delivered", "250 2.1.5 delivered"
            else:
                outcome, reply = await self.send(queue_id, message, recipient, content)
            if outcome in ("delivered", "failed"):
                del message["recipients"][recipient]
            else:
                message["recipients"][recipient] = reply
            if outcome == "failed":
                failed[recipient] = reply
        if failed and message["sender"]:
            self.bounce(queue_id, message["sender"], failed, content)
        if message["recipients"]:
            message["due"] = time.time() + self.wanted["retry"]
            self.keep(queue_id)
        else:
            self.leave(queue_id)

    def store(self, queue_id: str, message: Any, recipient: str, content: bytes) -> None:
        folder = Path(self.wanted["mailboxes"]) / mailbox_of(recipient)
        for part in ("tmp", "new", "cur"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        name = f"{time.time():.6f}.{queue_id}.fake"
        head = f"Return-Path: <{message['sender']}>\r\nDelivered-To: {recipient}\r\n".encode()
        whole = (head + content).replace(b"\r\n", b"\n")
        (folder / "tmp" / name).write_bytes(whole)
        (folder / "tmp" / name).rename(folder / "new" / name)
        self.fact(
            "Ended", queue_id=queue_id, recipient=recipient, outcome="delivered",
            reply="250 2.1.5 delivered", mailbox=True,
        )  # fmt: skip

    async def send(
        self, queue_id: str, message: Any, recipient: str, content: bytes
    ) -> tuple[str, str]:
        domain = recipient.partition("@")[2]
        outcome, reply, host, address = "deferred", "451 4.4.4 no host to try", "", ""
        for host, address, port in self.wanted["routes"].get(domain, []):
            outcome, reply, stage = await asyncio.to_thread(
                self.speak, address, port, message["sender"], recipient, content
            )
            if stage != "connect":
                break
            self.fact(
                "HostTried", queue_id=queue_id, host=host, address=address, stage=stage, reply=reply
            )
            host = address = ""
        self.fact(
            "Ended", queue_id=queue_id, recipient=recipient, outcome=outcome, reply=reply,
            host=host, address=address,
        )  # fmt: skip
        return outcome, reply

    def speak(
        self, address: str, port: int, sender: str, recipient: str, content: bytes
    ) -> tuple[str, str, str]:
        """Hand a message on; the outcome, the reply and the stage."""
        try:
            source = (self.wanted["address"], 0)
            helo = self.wanted["hostname"]
            with smtplib.SMTP(address, port, helo, timeout=5, source_address=source) as session:
                session.ehlo_or_helo_if_needed()
                calls: list[tuple[str, Callable[[], tuple[int, bytes]]]] = [
                    ("mail", lambda: session.mail(sender)),
                    ("rcpt", lambda: session.rcpt(recipient)),
                    ("dot", lambda: session.data(content)),
                ]
                reply = ""
                for stage, call in calls:
                    code, text = call()
                    reply = f"{code} {text.decode()}"
                    if code >= 400:
                        return ("deferred" if code < 500 else "failed"), reply, stage
                return "delivered", reply, "done"
        except smtplib.SMTPException as error:
            return "deferred", f"lost: {error}", "greeting"
        except OSError as error:
            return "deferred", f"connect: {error.strerror or error}", "connect"

    def bounce(self, about: str, to: str, failed: dict[str, str], content: bytes) -> None:
        head = (
            f"From: MAILER-DAEMON@{self.wanted['hostname']}\r\nTo: {to}\r\nSubject: failed\r\n"
            f"Message-ID: <{about}.bounce@{self.wanted['hostname']}>\r\n\r\n{failed}\r\n"
        )
        notice = self.take("", [to], head.encode(), about=about)
        self.fact("Told", queue_id=about, action="failed", notification=notice)

    # --- tools ------------------------------------------------------------------------------------

    async def tool(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        answer: Any = None
        match request["do"]:
            case "queue":
                answer = self.queue
            case "flush":
                for queue_id, message in self.queue.items():
                    domains = {one.partition("@")[2] for one in message["recipients"]}
                    if request["site"] in (None, *domains) and request["id"] in (None, queue_id):
                        message["due"] = 0.0
                self.due.set()
            case "hold" | "release":
                for queue_id in request["ids"]:
                    self.queue[queue_id]["held"] = request["do"] == "hold"
                    self.keep(queue_id)
                self.due.set()
            case "requeue":
                for queue_id in request["ids"]:
                    self.queue[queue_id]["due"] = 0.0
                self.due.set()
            case "delete":
                for queue_id in request["ids"]:
                    self.leave(queue_id)
            case "reload":
                wanted = json.loads((self.folder / "fake.json").read_text())
                if wanted["users"] == []:
                    answer = {"failed": "no users at all"}
                else:
                    self.wanted = wanted
            case other:
                answer = {"failed": f"cannot {other}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
        writer.close()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        server = await loop.create_server(
            lambda: SMTP(
                self, hostname=self.wanted["hostname"], ident="ESMTP fake", loop=loop,
                data_size_limit=self.wanted["size"], proxy_protocol_timeout=5.0,
                enable_SMTPUTF8=True, tls_context=self.tls(),
            ),
            "127.0.0.1", self.wanted["port"],
        )  # fmt: skip
        socket = self.folder / "tools"
        socket.unlink(missing_ok=True)
        tools = await asyncio.start_unix_server(self.tool, str(socket))
        work = asyncio.create_task(self.deliver())
        self.fact("Serving")
        await stopped.wait()
        work.cancel()
        server.close()
        tools.close()
        self.log("note stopped")


def peer_of(session: Session) -> str:
    """Its address; once TLS has begun, aiosmtpd knows only the other end of its socket."""
    peer: Any = session.peer
    return peer if isinstance(peer, str) else str(peer[0])


def mailbox_of(address: str) -> str:
    """Whose it is: what follows a + is a tag."""
    local, _, domain = address.lower().partition("@")
    return f"{local.partition('+')[0]}@{domain}"


if __name__ == "__main__":
    asyncio.run(FakeMta(Path(sys.argv[1])).serve())
