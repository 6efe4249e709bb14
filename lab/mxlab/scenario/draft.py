"""The first draft of a scenario: a file that lints and runs, and a lesson to be filled in.

Pure: text only. Before the fault is healed the story waits for what it does: that it strikes, or
that mail goes past the host, where it certainly does. Mail is such as the fault can strike.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

from mxlab.errors import UnknownName, UsageError
from mxlab.faults import fault_called
from mxlab.model.mechanism import MECHANISMS, STRIKING
from mxlab.scenario.steps import read_mechanism
from mxlab.scenario.yaml import parse
from mxlab_services.config import Timeouts
from mxlab_services.dns.resolver import TIMEOUTS
from mxlab_services.faults.base import Mechanism, NodeFault
from mxlab_services.faults.kinds import DnsFault, MailboxFull

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
# A host under one of these takes nothing, and says nothing permanent: mail waits elsewhere.
PAST = ("kill", "stop", "pause", "refuse", "disconnect", "drop", "reject")
MOST_FOR_CHANCE = 200  # messages
LONGEST_QUESTION = max(TIMEOUTS)  # real seconds that an MTA waits for DNS
BASE = ("nothing-lost", "nothing-forged", "nothing-altered", "duplicates-explained", "queues-empty")


@dataclass(frozen=True, slots=True)
class Draft:
    """What is asked of an author. `parameters` are the fault's, beside its host."""

    name: str
    title: str = ""
    summary: str = ""
    fault: str = "kill"
    host: str = ""
    exchanges: int = 2
    count: int = 5
    parameters: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UsageError for what cannot become a scenario."""
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} cannot be a scenario's id",
                "lower-case letters, digits and hyphens: my-outage",
            )
        if self.fault not in MECHANISMS:
            raise UnknownName("fault", self.fault, MECHANISMS)
        if self.at not in (hosts := ("dns", *self.mx, "client")):
            raise UnknownName("host", self.at, hosts)
        if self.at == "client" and self.fault in PAST:
            raise UsageError("without the client nobody sends", "choose another host")
        self._check_place()
        self.mechanism()

    def _check_place(self) -> None:
        """Raise UsageError where no mail of a draft can meet the fault."""
        kind = MECHANISMS[self.fault]
        if not issubclass(kind, NodeFault):
            return
        if issubclass(kind, DnsFault) != (self.at == "dns"):
            where = "the DNS server" if self.at != "dns" else "a mail host"
            raise UsageError(f"{self.fault} is a fault of {where}", "choose another host")
        if self.parameters.get("verb") == "AUTH":
            text = "in a draft no program hands in mail, so nobody authenticates himself"
            raise UsageError(text, "begin with the scenario auth-server-hiccups")
        if kind is MailboxFull:
            domain = {self.mx[0]: "example.test", "client": "client.test"}.get(self.at)
            address = str(self.parameters.get("address", f"bob@{domain}"))
            if domain is None or address.rpartition("@")[2] != domain:
                text = f"{address} has no mailbox on {self.at}"
                raise UsageError(text, "mx1 has those of example.test, client those of client.test")
        elif self.at == "client":
            text = f"in a draft the client only sends: nothing would meet {self.fault} there"
            raise UsageError(text, "choose an exchange")

    @property
    def mx(self) -> tuple[str, ...]:
        return tuple(f"mx{number}" for number in range(1, self.exchanges + 1))

    @property
    def at(self) -> str:
        """The host: unless it is given, where such a fault belongs."""
        return self.host or usual_host(self.fault)

    def mechanism(self) -> Mechanism:
        """The fault. Raises UsageError for parameters that are missing or wrong."""
        kind = MECHANISMS[self.fault]
        missing = [
            f.encode_name
            for f in msgspec.structs.fields(kind)
            if f.required and f.encode_name not in ("host", *self.parameters)
        ]
        if missing:
            words = " ".join(f"--set {name}=..." for name in missing)
            raise UsageError(f"the fault {self.fault} needs {', '.join(missing)}", f"add {words}")
        given = yaml.safe_dump({"host": self.at, **self.parameters})
        return read_mechanism(parse(given, f"--set of {self.fault}"), kind)

    def scenario(self) -> str:
        """The text of scenario.yaml."""
        self.check()
        title = self.title or self.name.replace("-", " ").capitalize()
        summary = self.summary or f"{self.fault} at {self.at}: what becomes of the mail?"
        exchanges = "".join(
            f"    - {{host: {host}, preference: {10 * number}}}\n"
            for number, host in enumerate(self.mx, 1)
        )
        around = self._around()
        steps = [
            {"say": f"Now {self.fault} befalls {self.at}. What do you expect?"},
            *({"fault": {"id": name, **fault}} for name, fault in around.items()),
            {"fault": {"id": "outage", self.fault: self._given()}},
            {"send": {"id": "batch", **self._mail()}},
            {"eventually": self._meanwhile()},
            {"say": "It is mended."},
            *({"heal": name} for name in ("outage", *around)),
            self._in_the_end(),
        ]
        expect = (
            *BASE,
            *(("all-delivered", "nothing-bounced") if self._goes_past else ()),
            *(("faults-struck",) if self.fault in STRIKING else ()),
        )
        return (
            "# For completion in an editor: mxlab scenario schema > mxlab.schema.json, and here\n"
            "# yaml-language-server: $schema=mxlab.schema.json\n"
            f"mxlab: 1\ntitle: {_line(title)}\nsummary: {_line(summary)}\n"
            f"topology:\n  domain: example.test\n{'  tls: true' + chr(10) if self._tls else ''}"
            f"  mx:\n{exchanges}"
            f"steps:\n{''.join(f'  - {_line(step)}{chr(10)}' for step in steps)}"
            f"expect:\n{''.join(f'  - {name}{chr(10)}' for name in expect)}"
        )

    @property
    def _goes_past(self) -> bool:
        """Whether the client certainly gets nothing across to the host."""
        if "client" not in (self.parameters.get("peers") or ["client"]):
            return False
        if self.fault == "slow-link":  # a handshake, or a question, there and back
            patience = LONGEST_QUESTION if self.at == "dns" else Timeouts().connect
            return 2 * float(self.parameters["seconds"]) >= patience
        return self.fault in (*PAST, "partition") and not (
            self.fault == "reject" and self.at == "dns"
        )  # by UDP

    @property
    def _tls(self) -> bool:
        return self.fault == "tls-broken" or self.parameters.get("verb") == "STARTTLS"

    def _given(self) -> Any:
        short = self.at if MECHANISMS[self.fault].short == "host" else None
        return {"host": self.at, **self.parameters} if self.parameters or not short else short

    def _around(self) -> dict[str, dict[str, Any]]:
        """By id, what else must be broken so that mail comes to the host, and from the peer."""
        if self.at not in self.mx:
            return {}
        better = self.mx[: self.mx.index(self.at)]
        found: dict[str, dict[str, Any]] = {f"{host}-down": {"kill": host} for host in better}
        if self.parameters.get("peer") in self.mx:
            busy = {"host": self.at, "verb": "CONNECT", "code": 421, "peer": "client"}
            found["detour"] = {"reply": busy}
        return found

    def _mail(self) -> dict[str, Any]:
        """Mail that the fault can strike, and enough of it."""
        given, count = self.parameters, self.count
        count = max(count, int(given.get("nth", 0)))
        if "chance" in given:
            count = max(count, min(MOST_FOR_CHANCE, math.ceil(5 / float(given["chance"]))))
        mail: dict[str, Any] = {
            "count": count,
            "from": _address(given.get("sender"), "alice@client.test"),
            "to": _address(given.get("address") or given.get("recipient"), "bob@example.test"),
        }
        if self.fault in ("cut", "cut-link"):
            mail["size"] = int(given["after"]) + 1000
        return mail

    def _meanwhile(self) -> dict[str, Any]:
        """What the fault does, for which the story waits before it is healed."""
        if self.fault in STRIKING:
            return {"within": "5m", "struck": "outage"}
        if self.at not in self.mx:
            return {"within": "5m", "deferred" if self._goes_past else "delivered": "batch"}
        number = self.mx.index(self.at)
        left = self.mx[number + 1 if self._goes_past else number :]
        if not left:
            return {"within": "5m", "deferred": "batch"}
        if left[0] == self.mx[0]:
            return {"within": "10m", "delivered": "batch"}
        return {"within": "5m", "queue": {"host": left[0], "holds": "batch"}}

    def _in_the_end(self) -> dict[str, Any]:
        if self.fault not in STRIKING:  # all that it does is undone
            return {"eventually": {"within": "10m", "delivered": "batch"}}
        return {"eventually": {"within": "10m", "queue": {"host": "client", "count": 0}}}

    def lesson(self) -> str:
        """The text of README.md."""
        title = self.title or self.name.replace("-", " ").capitalize()
        summary = fault_called(self.fault).summary
        return (
            f"# {title}\n\n"
            "## What happens\n"
            f"1. `{self.fault}` befalls `{self.at}`: {summary[:1].lower()}{summary[1:]}\n"
            f"2. {self.count} messages go from `alice@client.test` to `bob@example.test`.\n"
            f"3. The fault is healed. `mxlab run {self.name}` judges what became of the mail.\n\n"
            "## Why\n"
            "- A sender tries the exchanges in order, and keeps what none of them takes: "
            "RFC 5321 §5.1, §4.5.4.1.\n"
            "- Whoever answered 250 to the final dot delivers the message or tells its sender: "
            "RFC 5321 §6.1.\n\n"
            "## What to look at\n"
            "- `mxlab queue` while the fault is in effect, and again after.\n"
            "- `mxlab trace MESSAGE`: every attempt, every reply, in order.\n\n"
            "## Questions\n"
            "1. Who is responsible for each message while the fault lasts?\n"
            "2. What can the sender know of it?\n"
        )


def _address(given: Any, usual: str) -> str:
    """An address as a fault has it; one at the domain, where it has only that."""
    if not given:
        return usual
    text = str(given)
    return f"bob{text}" if text.startswith("@") else text


def usual_host(fault: str) -> str:
    """The host that a fault has by itself (dns, for those of the DNS server), or the primary."""
    fields = msgspec.structs.fields(MECHANISMS[fault])
    own = next(f for f in fields if f.name == "host")
    return "mx1" if own.required else str(own.default)


def _line(value: Any) -> str:
    """The value as YAML on one line; a mapping of one key without its braces."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        return f"{key}: {_flow(inner)}"
    return _flow(value)


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")
