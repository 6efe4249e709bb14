"""`mxlab board` in a process of its own, over a lab of local processes."""

import json
import os
import signal
import subprocess
from types import TracebackType
from typing import Any

import httpx

from tests.support.command import MXLAB, Lab

TOKEN = "a-token-of-tests"
SECONDS = 60


class BoardServer:
    """A board until the end of the block, at any port that is free; or what another `command`
    serves."""

    def __init__(self, lab: Lab, *words: str, command: tuple[str, ...] = ()) -> None:
        self.lab = lab
        usual = ("board", "--port", "0", "--token", TOKEN, "--json", *words)
        self._command = [*MXLAB, *(command or usual)]
        self._environment = {**os.environ, **lab.environment}

    def __enter__(self) -> "BoardServer":
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        lines = ""
        while not lines.endswith("\n}\n"):
            line = self._process.stdout.readline()
            assert line, self._process.stderr.read() if self._process.stderr else ""
            lines += line
        said = json.loads(lines)
        at = said.get("board", said)
        self.root: str = at["url"]
        self.token: str = at["token"]
        headers = {"authorization": f"Bearer {self.token}"}
        self.client = httpx.Client(base_url=self.root, headers=headers, timeout=SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()
        self.interrupt()

    def interrupt(self) -> tuple[int, str]:
        """End it as Ctrl-C does: its exit code, and what it complained of."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        _, said = self._process.communicate(timeout=SECONDS)
        return self._process.returncode, said

    @property
    def pid(self) -> int:
        return self._process.pid

    def api(self, path: str, body: Any = None, method: str = "") -> Any:
        method = method or ("GET" if body is None else "POST")
        reply = self.client.request(method, f"/api/v1{path}", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()
