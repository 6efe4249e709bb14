"""What a question of an exercise asks: the right answer is computed from the lab, so that it is
right for every seat. Declared here once; computed in `learn.truth`, compared in `learn.match`."""

import typing
from typing import Annotated, ClassVar

import msgspec

from mxlab.model.reference import Address, BatchId
from mxlab.model.topology import Host, MailHost, ZoneName

Words = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1)], ...], msgspec.Meta(min_length=1)
]


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base. `short` names the field that a plain string gives, if one does; `form`: what kind of
    text answers it, for people."""

    key: ClassVar[str]
    short: ClassVar[str] = ""
    form: ClassVar[str] = ""


class HolderOf(Question, frozen=True):
    """The hosts in whose queues messages of the batch wait now."""

    key, short, form = "holder-of", "batch", "the names of hosts"
    batch: BatchId


class FinalHostOf(Question, frozen=True):
    """The hosts on which messages of the batch were put into a mailbox."""

    key, short, form = "final-host-of", "batch", "the names of hosts"
    batch: BatchId


class NextRetryOf(Question, frozen=True):
    """How long, in lab time from now, until the next attempt at a message of the batch: the first
    that is planned anywhere. Right is what is no more than `within` as a share off, 0.5 by
    default, or one second."""

    key, short, form = "next-retry-of", "batch", "a time, as 20s or 5m"
    batch: BatchId
    within: Annotated[float, msgspec.Meta(gt=0, le=10)] = 0.5


class LifetimeOf(Question, frozen=True):
    """How long a host keeps mail before it gives up: its setting."""

    key, short, form = "lifetime-of", "host", "a time, as 20s or 5d"
    host: MailHost


class AttemptsOf(Question, frozen=True):
    """How many delivery attempts were begun for messages of the batch, at `host` or anywhere."""

    key, short, form = "attempts-of", "batch", "a number"
    batch: BatchId
    host: MailHost | None = None


class ReplyTo(Question, frozen=True):
    """The three digits of the last reply that an attempt at the batch got (RFC 5321 §4.2)."""

    key, short, form = "reply-code-of", "batch", "a reply code of three digits"
    batch: BatchId


class StatusOf(Question, frozen=True):
    """The enhanced status code with which the batch bounced (RFC 3463)."""

    key, short, form = "status-code-of", "batch", "a status code, as 4.4.1"
    batch: BatchId


class NotifiedOf(Question, frozen=True):
    """The addresses to which notifications about the batch were sent."""

    key, short, form = "notified-about", "batch", "a mail address"
    batch: BatchId


class ReporterOf(Question, frozen=True):
    """The hosts that wrote notifications about the batch."""

    key, short, form = "reporter-of", "batch", "the names of hosts"
    batch: BatchId


class RefuserOf(Question, frozen=True):
    """The hosts whose replies made attempts at the batch fail for good."""

    key, short, form = "refuser-of", "batch", "the names of hosts"
    batch: BatchId


class QueuedAt(Question, frozen=True):
    """How many messages wait at the host now."""

    key, short, form = "queued-at", "host", "a number"
    host: MailHost


class MailboxOf(Question, frozen=True):
    """How many messages lie in the mailbox of the address now, on all hosts together."""

    key, short, form = "mailbox-of", "address", "a number"
    address: Address


class FirstExchange(Question, frozen=True):
    """The exchanges of the best preference, as DNS has them now."""

    key, short, form = "first-exchange-of", "domain", "the names of hosts"
    domain: ZoneName


class ExchangeOrder(Question, frozen=True):
    """All exchanges, best first, as DNS has them now; those of one preference in any order."""

    key, short, form = "exchange-order-of", "domain", "names of hosts, the first to be tried first"
    domain: ZoneName


class PreferenceOf(Question, frozen=True):
    """The preference of the exchange in the MX records of the domain, the lab's own by default."""

    key, short, form = "preference-of", "host", "a number"
    host: MailHost
    domain: ZoneName | None = None


class ExchangeCount(Question, frozen=True):
    """How many MX records the domain has now."""

    key, short, form = "exchange-count-of", "domain", "a number"
    domain: ZoneName


class AddressOf(Question, frozen=True):
    """An IP address of the host."""

    key, short, form = "address-of", "host", "an IP address"
    host: Host


class TtlOf(Question, frozen=True):
    """The TTL of the records of that name and type, as the zone has them, in seconds."""

    key, form = "ttl-of", "seconds"
    name: ZoneName
    type: str


class NameServersOf(Question, frozen=True):
    """The hosts that serve the zone as name servers."""

    key, short, form = "name-servers-of", "domain", "the names of hosts"
    domain: ZoneName


class Down(Question, frozen=True):
    """The hosts that do not run now. There is nothing to give: write `down: {}`."""

    key, form = "down", "the names of hosts"


class SettingOf(Question, frozen=True, rename={"name": "key"}):
    """The value of a setting of a running node, as `mxlab config` shows it."""

    key, form = "setting-of", "a value"
    host: MailHost
    name: str


class JustHost(Question, frozen=True):
    """That host, whatever the lab is like, in any form of its name: for what no question above asks
    of the lab."""

    key, short, form = "host-is", "host", "the name of a host"
    host: Host


class Fixed(Question, frozen=True):
    """One of these words, whatever the lab is like: for what is a rule, not a fact of the lab."""

    key, short, form = "is", "words", "a word"
    words: str | Words


AnyQuestion = (
    HolderOf | FinalHostOf | NextRetryOf | LifetimeOf | AttemptsOf | ReplyTo | StatusOf | NotifiedOf
    | ReporterOf | RefuserOf
    | QueuedAt | MailboxOf | FirstExchange | ExchangeOrder | PreferenceOf | ExchangeCount
    | AddressOf | TtlOf | NameServersOf | Down | SettingOf | JustHost | Fixed
)  # fmt: skip
QUESTIONS: dict[str, type[AnyQuestion]] = {kind.key: kind for kind in typing.get_args(AnyQuestion)}
