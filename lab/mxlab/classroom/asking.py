"""A class server asked by a program that knows a token: the teacher's commands, a rehearsal."""

from types import TracebackType
from typing import Any

import httpx

from mxlab.errors import EnvironmentProblem, Refused, UsageError
from mxlab.visible import visible

SECONDS = 120.0  # that a seat may take to bring its lab to another task


class Asker:
    """Asks the class server at `url`. Raises UsageError for an address that is none,
    EnvironmentProblem where nobody answers, Refused with the server's words."""

    def __init__(self, url: str, token: str) -> None:
        try:
            headers = {"authorization": f"Bearer {token}"}
            self._client = httpx.Client(
                base_url=url, headers=headers, timeout=SECONDS, trust_env=False
            )
            if self._client.base_url.scheme not in ("http", "https"):
                raise ValueError("it begins with http://")
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            text = f"{url!a} is no address of a class server"
            raise UsageError(text, "as `mxlab class up` prints it, to the port") from error
        self._url = url

    def __enter__(self) -> "Asker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def get(self, path: str) -> Any:
        return self._asked("GET", path, None).json()

    def text(self, path: str) -> str:
        return self._asked("GET", path, None).text

    def post(self, path: str, body: Any) -> Any:
        return self._asked("POST", path, body).json()

    def _asked(self, method: str, path: str, body: Any) -> httpx.Response:
        try:
            reply = self._client.request(method, path, json=body)
            said = reply.json() if reply.status_code != 200 else {}
        except (httpx.HTTPError, ValueError) as error:
            text = f"the class server at {self._url!a} does not answer: {error}"
            raise EnvironmentProblem(text, "is the class up, and is this its address?") from error
        if reply.status_code != 200:
            text = str(said.get("error", "")) if isinstance(said, dict) else ""
            hint = str(said.get("hint", "")) if isinstance(said, dict) else ""
            raise Refused(visible(text or f"status {reply.status_code}"), visible(hint))
        return reply
