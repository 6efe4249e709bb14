"""How a `send` step hands messages in as a mail program does: by SMTP, TLS and AUTH (RFC 6409)."""

from typing import Annotated, Literal

import msgspec

from mxlab.model.duration import Seconds
from mxlab.model.replycode import ReplyCode, code_problem

PAUSE = 5.0  # lab seconds between two tries of a program


class Submitting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a program at the client hands messages in at the client's own submission server.

    `user`: as whom it authenticates itself, with the password that the topology has for them unless
    `password` is given; without a user it does not. `mechanism`: the best that is offered unless
    given. `port` 587 begins TLS by STARTTLS, 465 at once (RFC 8314); `tls: false` has none. What is
    refused for now is tried again, `tries` times in all, after `pause`, 5 s unless given. The step
    fails where a message is refused; or, with `refused`, where one is not, with that code.
    """

    user: str | None = None
    password: str | None = None
    mechanism: Literal["SCRAM-SHA-256", "PLAIN", "LOGIN"] | None = None
    port: Literal[587, 465] = 587
    tls: bool = True
    tries: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    pause: Seconds | None = None
    refused: ReplyCode | None = None

    def misfit(self) -> str:
        """What no type can tell of its fields; nothing where they fit together."""
        if self.refused is not None and str(self.refused)[0] not in "45":
            return f"{self.refused} refuses nothing: a refusal is 4yz or 5yz"
        if self.user is None and (self.password is not None or self.mechanism is not None):
            return "a password and a mechanism are a user's: name the `user`"
        return code_problem(self.refused)

    @property
    def pauses(self) -> float:
        """Lab seconds between two tries."""
        return PAUSE if self.pause is None else self.pause

    def __str__(self) -> str:
        who = f"as {self.user}" if self.user is not None else "as nobody"
        how = "" if self.tls else ", without TLS"
        wrong = ", with a password of its own" if self.password is not None else ""
        end = f", to be refused with {self.refused}" if self.refused is not None else ""
        return f"{who} on {self.port}{how}{wrong}{end}"
