"""Other people's programs hand in mail at a lab's client, on 587 and on 465, by each mechanism.

::

    smtplib, scramp, curl, swaks ──TLS, AUTH──> client ──> mx1

A program that is missing skips its tests by name, unless all are required (tests.support.programs).
"""

import asyncio
import os
import shutil
import smtplib
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import overload

import pytest
from scramp import ScramClient

from mxlab.api.running_lab import RunningLab
from mxlab.api.testing import LabDesk
from mxlab.backends.base import CanPublish, Lab, Order
from mxlab.backends.process import ProcessBackend
from mxlab.errors import UnknownName, UsageError
from mxlab.model.topology import Submitters, Topology
from mxlab_services.config import ClientConfig
from mxlab_services.control.requests import MailboxList, MailboxRead
from mxlab_services.events import Accepted, MailboxDelivered
from tests.support import programs

USER, PASSWORD = "alice", "the white rabbit, late"
TOPOLOGY = Topology(submission=Submitters({USER: PASSWORD}))


class Place:
    """A lab that takes submissions: where, and whom to trust."""

    def __init__(self, lab: Lab, host: str, port: int, tls_port: int, ca: Path) -> None:
        self.lab, self.host, self.port, self.tls_port, self.ca = lab, host, port, tls_port, ca

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)

    async def arrived(self) -> bytes:
        """The message that was delivered, which came in by a session of one who is known."""
        async with asyncio.timeout(30):
            async for event in self.lab.nodes["mx1"].events():
                if isinstance(event.body, MailboxDelivered):
                    break
        (entry,) = await self.lab.nodes["mx1"].request(MailboxList())
        accepted = [
            event.body.protocol
            async for event in self.lab.nodes["client"].events(follow=False)
            if isinstance(event.body, Accepted)
        ]
        assert accepted == ["ESMTPSA"]
        return await self.lab.nodes["mx1"].request(MailboxRead(entry.address, entry.name))

    async def told(self) -> str:
        """All that the client said of what it saw."""
        return repr([event async for event in self.lab.nodes["client"].events(follow=False)])


@asynccontextmanager
async def lab(tmp_path: Path) -> AsyncIterator[Place]:
    order = Order(f"submits-{os.getpid()}", "submits", TOPOLOGY)
    async with ProcessBackend().deploy(order, lambda _: None) as up:
        client = up.nodes["client"]
        assert isinstance(client, CanPublish)
        assert isinstance(client.config, ClientConfig)
        assert client.config.submission is not None
        places = await client.published()
        ca = tmp_path / "ca.pem"
        ca.write_text(client.config.submission.tls.ca)
        host, port = places["submission"]
        yield Place(up, host, port, places["submissions"][1], ca)


def message() -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"] = "alice@client.test", "bob@example.test"
    made["Subject"] = "from a program"
    made.set_content("At six.\n")
    return made


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_smtplib_logs_in(tmp_path: Path, mechanism: str, implicit: bool) -> None:
    async with lab(tmp_path) as place:
        await asyncio.to_thread(_by_smtplib, place, mechanism, implicit)
        assert b"At six." in await place.arrived()
        assert PASSWORD not in await place.told()


def _connected(place: Place, implicit: bool) -> smtplib.SMTP:
    if implicit:
        return smtplib.SMTP_SSL(place.host, place.tls_port, context=place.context, timeout=20)
    server = smtplib.SMTP(place.host, place.port, timeout=20)
    server.starttls(context=place.context)
    return server


def _by_smtplib(place: Place, mechanism: str, implicit: bool) -> None:
    with _connected(place, implicit) as server:
        server.ehlo()
        server.user, server.password = USER, "queen"
        ways = {"PLAIN": server.auth_plain, "LOGIN": server.auth_login}
        with pytest.raises(smtplib.SMTPSenderRefused, match="Authentication required"):
            server.sendmail("alice@client.test", ["bob@example.test"], "x")
        with pytest.raises(smtplib.SMTPAuthenticationError, match=r"5\.7\.8"):
            server.auth(mechanism, ways[mechanism])
        server.password = PASSWORD
        assert server.auth(mechanism, ways[mechanism])[0] == 235
        server.send_message(message())


@pytest.mark.parametrize("implicit", [False, True])
async def test_scram_by_another_hand(tmp_path: Path, implicit: bool) -> None:
    async with lab(tmp_path) as place:
        await asyncio.to_thread(_by_scramp, place, implicit)
        assert b"At six." in await place.arrived()
        assert PASSWORD not in await place.told()


def _by_scramp(place: Place, implicit: bool) -> None:
    with _connected(place, implicit) as server:
        server.ehlo()
        with pytest.raises(smtplib.SMTPAuthenticationError, match=r"5\.7\.8"):
            server.auth("SCRAM-SHA-256", _Scramp("queen"))
        client = _Scramp(PASSWORD)
        assert server.auth("SCRAM-SHA-256", client)[0] == 235
        assert client.server_is_known
        server.send_message(message())


class _Scramp:
    """scramp's client as smtplib asks for it: no initial response, then a response a challenge."""

    def __init__(self, password: str) -> None:
        self._client = ScramClient(["SCRAM-SHA-256"], USER, password)
        self._asked = 0
        self.server_is_known = False

    @overload
    def __call__(self, challenge: None = None, /) -> str | None: ...
    @overload
    def __call__(self, challenge: bytes, /) -> str: ...
    def __call__(self, challenge: bytes | None = None, /) -> str | None:
        if challenge is None:
            return None
        self._asked += 1
        if self._asked == 1:
            return str(self._client.get_client_first())
        if self._asked == 2:
            self._client.set_server_first(challenge.decode())
            return str(self._client.get_client_final())
        self._client.set_server_final(challenge.decode())  # raises where its proof is wrong
        self.server_is_known = True
        return ""


@programs.needs("curl")
@pytest.mark.parametrize("implicit", [False, True])
async def test_curl_hands_in(tmp_path: Path, implicit: bool) -> None:
    (tmp_path / "mail").write_bytes(message().as_bytes().replace(b"\n", b"\r\n"))
    async with lab(tmp_path) as place:
        url = (
            f"smtps://{place.host}:{place.tls_port}"
            if implicit
            else f"smtp://{place.host}:{place.port}"
        )
        common = (
            "curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", str(place.ca), url,
            "--mail-from", "alice@client.test", "--mail-rcpt", "bob@example.test",
            "--upload-file", str(tmp_path / "mail"),
        )  # fmt: skip
        await run(*common, "--user", f"{USER}:queen", status=67)  # login denied
        await run(*common, "--user", f"{USER}:{PASSWORD}")
        assert b"At six." in await place.arrived()
        assert PASSWORD not in await place.told()


def swaks_problem(*modules: str) -> str:
    """Why swaks cannot do it here, in words, or an empty string."""
    if problem := programs.problem("swaks", "perl"):
        return problem
    missing = [
        module
        for module in modules
        if subprocess.run(
            [str(shutil.which("perl")), f"-M{module}", "-e1"], check=False, capture_output=True
        ).returncode
    ]
    return f"swaks lacks {', '.join(missing)}" if missing else ""


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_swaks_hands_in(tmp_path: Path, mechanism: str, implicit: bool) -> None:
    if (reason := swaks_problem("Net::SSLeay")) and not programs.REQUIRED:
        pytest.skip(reason)
    async with lab(tmp_path) as place:
        port = place.tls_port if implicit else place.port
        common = (
            "swaks", "--server", f"{place.host}:{port}", "--to", "bob@example.test",
            "--from", "alice@client.test", "--tls-on-connect" if implicit else "--tls",
            "--auth", mechanism, "--auth-user", USER, "--auth-password",
        )  # fmt: skip
        await run(*common, "queen", status=28)  # no authentication succeeded
        assert "235 2.7.0" in await run(*common, PASSWORD)
        assert b"test" in await place.arrived()
        assert PASSWORD not in await place.told()


async def run(*command: str, status: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == status, output.decode()
    return output.decode()


@pytest.mark.parametrize(
    ("topology", "user", "error", "words"),
    [
        (Topology(), None, UsageError, "the topology has no `submission`"),
        (TOPOLOGY, "alic", UnknownName, "alic"),
    ],
)
def test_a_test_is_told_why_it_cannot_submit(
    topology: Topology, user: str | None, error: type[Exception], words: str
) -> None:
    running = RunningLab(ProcessBackend(), f"submits-desk-{os.getpid()}", topology)
    running.start()
    try:
        with pytest.raises(error, match=words):
            LabDesk(running).submission(user)
    finally:
        running.stop()
