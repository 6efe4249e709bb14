"""The space of schedules, as Hypothesis strategies: small ones first, so that shrinking finds them.

The only part of chaos, beside the search, that loads Hypothesis.
"""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from mxlab.chaos.addressing import Addressing, Place
from mxlab.chaos.beside import BOB, CAROL, EVE, PLAIN, SALES, SECOND, TEAM, Beside
from mxlab.chaos.schedule import (
    SHORT,
    Action,
    Break,
    ChaosSchedule,
    Clog,
    Configure,
    Free,
    Mail,
    Mend,
    Pass,
    ZoneChange,
)
from mxlab.chaos.zones import ZONES
from mxlab.model import mechanism
from mxlab.model.duration import parse_duration
from mxlab.model.step import SettingValue
from mxlab.model.topology import Exchange, NameServer, RetryHabit, Topology
from mxlab_services.faults import kinds
from mxlab_services.faults.base import Mechanism

SIZE = 8  # actions in a schedule, at most
NOBODY = "nobody@example.test"
RECIPIENTS = (
    (BOB,), (BOB, NOBODY), (NOBODY,), (BOB, CAROL), (BOB, EVE), (TEAM, BOB), (SALES, NOBODY),
)  # fmt: skip
SENDERS = ("alice@client.test", "ghost@example.test", f"dora@{SECOND}")  # ghost exists nowhere
SHAPES = (
    (Exchange("mx1", 10), Exchange("mx2", 20)),
    (Exchange("mx1", 10), Exchange("mx2", 20), Exchange("mx3", 20)),
    (Exchange("mx1", 10), Exchange("mx2", 20), Exchange("mx3", 30)),
    (Exchange("mx1", 10), Exchange("mx2", 10), Exchange("mx3", 20)),
    (Exchange("mx1", 10),),
)
ADDRESSINGS = (
    Addressing(),
    Addressing(),
    Addressing((6,)),
    Addressing((4, 6)),
    Addressing((4, 6), mx=(Place(unreachable=(6,), ip=(4,)), Place())),  # the classic delay
    Addressing((4, 6), mx=(Place(), Place(unreachable=(4,), ip=(6,)))),
    Addressing((4, 6), mx=(Place(ip=(6,)), Place())),
    Addressing((4, 6), client=(4,), mx=(Place(ip=(6,)), Place())),  # by way of the backup alone
    Addressing((4, 6), client=(6,), mx=(Place(), Place(ip=(4,)))),
)
TREE = (
    NameServer("ns1", ("example.test", "client.test")),
    NameServer("root", (".", "test")),
    NameServer("ns2", (), ("example.test",)),
)
NAME_SERVERS: tuple[Mapping[str, Any], ...] = (
    *({},) * 10,
    {"resolver": "iterative"},
    {"dns": ("ns1", NameServer("ns2", (), ("example.test", ".")))},
    {"dns": TREE},
)
_HABITS = {
    "client": RetryHabit(schedule="exim", lifetime=43200.0, warning=3600.0),
    "mx2": RetryHabit(schedule="opensmtpd", jitter=0.5),
    "mx1": RetryHabit(lifetime=21600.0),
}
BESIDE = (
    Beside(other="turned"),
    Beside(other="turned"),
    Beside(other="own", aliases=True),
    Beside(aliases=True),
    Beside(relays=1),
    Beside(relays=2, other="turned"),
    Beside(clients=True),
    Beside(habits=_HABITS),
    Beside(other="turned", aliases=True, relays=1, clients=True, habits=_HABITS),
)
ONE_DOMAIN = 3 * len(BESIDE)  # labs with nothing beside: most runs stay small
SETTINGS: tuple[dict[str, SettingValue], ...] = (
    {"retry.schedule": "rfc"},
    {"retry.lifetime": 3600.0, "retry.warning": 600.0},
    {"retry.schedule": "opensmtpd", "retry.jitter": 0.3},
    {"limits.destination_concurrency": 1},
    {"limits.recipients": 1},
    {"limits.sessions": 1},
    {"limits.message_size": 2000},
    {"limits.hops": 1},
    {"timeouts.dot": 1.0, "timeouts.mail": 1.0},
    {"timeouts.idle": 0.1},
    {"recipients": [CAROL]},
)
DOMAIN, ANY = "example.test", "any"
LIFE = tuple(kind(host=ANY) for kind in (mechanism.Kill, mechanism.Stop, mechanism.Pause))
LINKS = (
    mechanism.Drop(ANY),
    mechanism.Disconnect(ANY),
    mechanism.Reject(ANY),
    mechanism.Reject(ANY, how="prohibited"),
    mechanism.Loss(ANY, share=0.2),
    mechanism.SlowLink(ANY, seconds=0.7),
    mechanism.CutLink(ANY, after=600),
    *(mechanism.Partition(ANY, peers=(peer,)) for peer in ("mx1", "client", "dns")),
)
STREAMS = (mechanism.Segments(ANY), mechanism.Segments(ANY, most=100))
CUTS = tuple(Break(fault, host) for host in range(4) for fault in STREAMS)
WHOLE = len(CUTS) * 3 // 4  # so that streams are cut in somewhat more than every other run
MAIL = (
    kinds.LoseAck(ANY, first=1),
    kinds.ReplyWith(ANY, verb="DOT", code=451),
    kinds.ReplyWith(ANY, verb="DOT", code=554),
    kinds.ReplyWith(ANY, verb="RCPT", code=451, first=1),
    kinds.ReplyWith(ANY, verb="RCPT", code=550, first=1),
    kinds.ReplyWith(ANY, verb="MAIL", code=421, first=2),
    kinds.ReplyWith(ANY, verb="CONNECT", code=554),
    kinds.Refuse(ANY),
    kinds.Reset(ANY, verb="DOT", first=1),
    kinds.Cut(ANY, after=400),
    kinds.Delay(ANY, verb="DOT", seconds=30.0),
    kinds.Tarpit(ANY, seconds=3.0),
    kinds.Latency(ANY, seconds=1.5),
    kinds.Bandwidth(ANY, rate=200),
    kinds.SlowClose(ANY, seconds=30.0),
    kinds.Greylist(ANY, seconds=60.0),
    kinds.DiskFull(ANY),
    kinds.ReadOnly(ANY),
    kinds.MailboxFull(ANY, address=BOB),
)
DNS = (
    kinds.DnsServfail(name=DOMAIN),
    kinds.DnsServfail(name=f"mx1.{DOMAIN}"),
    kinds.DnsNxdomain(name=DOMAIN),
    kinds.DnsTimeout(name=DOMAIN, first=4),
    kinds.DnsDelay(name=DOMAIN, seconds=1.5),
    kinds.DnsRefused(name=DOMAIN),
    kinds.DnsTruncate(name=DOMAIN),
    kinds.DnsStale(name=DOMAIN),
    kinds.DnsNullMx(name=DOMAIN),
    kinds.DnsMxWithoutAddress(name=f"mx1.{DOMAIN}"),
)
SCHEDULES = ("opensmtpd", "exim", "rfc", "postfix")  # of retries: days must not cost thousands
WAITS = tuple(
    map(
        parse_duration,
        ("5s", "1s", "100ms", "30s", "5m", "1h", "6h", "1d", "5d"),
    )
)
INSTANTS = 24  # milliseconds within which a message is submitted, sent on and stored


def topologies() -> st.SearchStrategy[Topology]:
    """Labs with one to three exchanges, with and without a list of known recipients, with one
    family of IP or both, with one name server or several; some with more beside."""
    return st.builds(
        lambda addressing, beside, mx, dns, **others: beside.lab(
            addressing.lab(mx, **dns, **others)
        ),
        beside=st.sampled_from((PLAIN,) * ONE_DOMAIN + BESIDE),
        addressing=st.sampled_from(ADDRESSINGS),
        dns=st.sampled_from(NAME_SERVERS),
        mx=st.sampled_from(SHAPES),
        recipients=st.sampled_from((None, (BOB, CAROL))),
        backup_knows_recipients=st.booleans(),
        schedule=st.sampled_from(SCHEDULES),
    )


def _mails() -> st.SearchStrategy[Action]:
    return st.builds(
        Mail,
        sender=st.sampled_from(SENDERS),
        recipients=st.sampled_from(RECIPIENTS),
        count=st.sampled_from((1, 2, 3)),
        size=st.sampled_from((0, 3000)),
    )


def _breaks(faults: tuple[Mechanism, ...]) -> st.SearchStrategy[Action]:
    return st.builds(Break, fault=st.sampled_from(faults), host=st.integers(0, 6))


def _zones() -> st.SearchStrategy[Action]:
    return st.builds(ZoneChange, change=st.sampled_from(tuple(ZONES)), exchange=st.integers(0, 5))


def _settings() -> st.SearchStrategy[Action]:
    return st.builds(Configure, settings=st.sampled_from(SETTINGS), host=st.integers(0, 6))


def _troubles() -> st.SearchStrategy[Action]:
    return st.one_of(*map(_breaks, (LIFE, LIFE, LINKS, MAIL, DNS)), _zones(), _zones())


def _waits() -> st.SearchStrategy[Action]:
    return st.builds(Pass, seconds=st.sampled_from(WAITS))


def _instants() -> st.SearchStrategy[Action]:
    return st.integers(1, INSTANTS).map(lambda number: Pass(parse_duration(f"{number}ms")))


def _swizzles() -> st.SearchStrategy[tuple[Action, ...]]:
    """Links are stopped one by one while mail is under way, and let go in another order."""
    moments = st.one_of(
        st.integers(0, INSTANTS).map(lambda number: parse_duration(f"{number}ms")),
        st.sampled_from(WAITS[:5]),
    )
    clogs = st.lists(
        st.builds(Clog, link=st.integers(0, 12), seconds=moments), min_size=2, max_size=3
    )
    frees = st.lists(
        st.builds(Free, number=st.integers(0, 2), seconds=moments), min_size=1, max_size=3
    )
    return st.tuples(_mails(), clogs, _waits(), frees).map(
        lambda parts: (parts[0], *parts[1], parts[2], *parts[3])
    )


def episodes() -> st.SearchStrategy[tuple[Action, ...]]:
    """Actions that belong together more often than chance would have it: trouble while mail comes
    and time passes, trouble within milliseconds of a message, a name server that is away for longer
    than others remember what it said."""
    mends = st.builds(Mend, number=st.integers(0, 2))
    alone = st.one_of(_mails(), _troubles(), mends, _waits(), _settings()).map(lambda one: (one,))
    calm = st.tuples(_mails(), _waits())
    outage = st.tuples(_troubles(), _mails(), _waits())
    crash = st.tuples(_mails(), _instants(), _breaks(LIFE))
    killed = st.builds(Break, fault=st.just(LIFE[0]), host=st.integers(1, 3))
    lost = st.tuples(_mails(), _instants(), killed)
    outlived = (_outlived(), _outlived())  # two of them: what is there once counts once
    return st.one_of(alone, outage, crash, lost, _swizzles(), calm, *outlived)


def _outlived() -> st.SearchStrategy[tuple[Action, ...]]:
    """A name server is away for longer than what it said is remembered, and then mail comes."""
    server = st.builds(Break, fault=st.sampled_from(LIFE), host=st.sampled_from((-1, -1, -2)))
    return st.tuples(server, st.just(Pass(SHORT)), _mails(), _waits())


def schedules(size: int = SIZE) -> st.SearchStrategy[ChaosSchedule]:
    """Schedules of at most `size` actions, at least one of them a send."""
    return st.builds(
        ChaosSchedule,
        topology=topologies(),
        actions=st.lists(episodes(), min_size=1, max_size=max(1, size // 2)).map(
            lambda parts: tuple(action for part in parts for action in part)[:size]
        ),
        cut=st.sampled_from((None,) * WHOLE + CUTS),
        seed=st.integers(0, 99),
    ).filter(lambda schedule: any(isinstance(action, Mail) for action in schedule.actions))
