"""The space of schedules, as Hypothesis strategies: small ones first, so that shrinking finds them.

The only part of chaos, beside the search, that loads Hypothesis.
"""

from hypothesis import strategies as st

from mxlab.chaos.schedule import ZONES, Action, Break, Clog, Free, Mail, Mend, Pass, Schedule, Zone
from mxlab.model import inner, outer
from mxlab.model.duration import parse_duration
from mxlab.model.mechanism import Mechanism
from mxlab.model.topology import Exchange, Topology

SIZE = 8  # actions in a schedule, at most
BOB, CAROL, NOBODY = "bob@example.test", "carol@example.test", "nobody@example.test"
RECIPIENTS = ((BOB,), (BOB, NOBODY), (NOBODY,), (BOB, CAROL))
SENDERS = ("alice@client.test", "ghost@example.test")  # the second exists nowhere
SHAPES = (
    (Exchange("mx1", 10), Exchange("mx2", 20)),
    (Exchange("mx1", 10), Exchange("mx2", 20), Exchange("mx3", 20)),
    (Exchange("mx1", 10), Exchange("mx2", 20), Exchange("mx3", 30)),
    (Exchange("mx1", 10), Exchange("mx2", 10), Exchange("mx3", 20)),
    (Exchange("mx1", 10),),
)
DOMAIN, ANY = "example.test", "any"
LIFE = tuple(kind(host=ANY) for kind in (outer.Kill, outer.Stop, outer.Pause))
LINKS = (
    outer.Drop(ANY),
    outer.Disconnect(ANY),
    outer.Reject(ANY),
    outer.Reject(ANY, how="prohibited"),
    outer.Loss(ANY, share=0.2),
    outer.SlowLink(ANY, seconds=0.7),
    outer.CutLink(ANY, after=600),
    *(outer.Partition(ANY, peers=(peer,)) for peer in ("mx1", "client", "dns")),
)
STREAMS = (outer.Segments(ANY), outer.Segments(ANY, most=100))
CUTS = tuple(Break(fault, host) for host in range(4) for fault in STREAMS)
WHOLE = len(CUTS)  # so that streams are cut in every other run
MAIL = (
    inner.LoseAck(ANY, first=1),
    inner.Reply(ANY, verb="DOT", code=451),
    inner.Reply(ANY, verb="DOT", code=554),
    inner.Reply(ANY, verb="RCPT", code=451, first=1),
    inner.Reply(ANY, verb="RCPT", code=550, first=1),
    inner.Reply(ANY, verb="MAIL", code=421, first=2),
    inner.Reply(ANY, verb="CONNECT", code=554),
    inner.Refuse(ANY),
    inner.Reset(ANY, verb="DOT", first=1),
    inner.Cut(ANY, after=400),
    inner.Delay(ANY, verb="DOT", seconds=30.0),
    inner.Tarpit(ANY, seconds=3.0),
    inner.Latency(ANY, seconds=1.5),
    inner.Bandwidth(ANY, rate=200),
    inner.SlowClose(ANY, seconds=30.0),
    inner.Greylist(ANY, seconds=60.0),
    inner.DiskFull(ANY),
    inner.ReadOnly(ANY),
    inner.MailboxFull(ANY, address=BOB),
)
DNS = (
    inner.DnsServfail(name=DOMAIN),
    inner.DnsServfail(name=f"mx1.{DOMAIN}"),
    inner.DnsNxdomain(name=DOMAIN),
    inner.DnsTimeout(name=DOMAIN, first=4),
    inner.DnsDelay(name=DOMAIN, seconds=1.5),
    inner.DnsRefused(name=DOMAIN),
    inner.DnsTruncate(name=DOMAIN),
    inner.DnsStale(name=DOMAIN),
    inner.DnsNullMx(name=DOMAIN),
    inner.DnsMxWithoutAddress(name=f"mx1.{DOMAIN}"),
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
    """Labs with one to three exchanges, with and without a list of known recipients."""
    return st.builds(
        Topology,
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
    return st.builds(Break, fault=st.sampled_from(faults), host=st.integers(0, 4))


def _zones() -> st.SearchStrategy[Action]:
    return st.builds(Zone, change=st.sampled_from(tuple(ZONES)), exchange=st.integers(0, 2))


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
        st.builds(Clog, link=st.integers(0, 9), seconds=moments), min_size=2, max_size=3
    )
    frees = st.lists(
        st.builds(Free, number=st.integers(0, 2), seconds=moments), min_size=1, max_size=3
    )
    return st.tuples(_mails(), clogs, _waits(), frees).map(
        lambda parts: (parts[0], *parts[1], parts[2], *parts[3])
    )


def episodes() -> st.SearchStrategy[tuple[Action, ...]]:
    """Actions that belong together more often than chance would have it: trouble while mail comes
    and time passes, and trouble within milliseconds of a message."""
    mends = st.builds(Mend, number=st.integers(0, 2))
    alone = st.one_of(_mails(), _troubles(), mends, _waits()).map(lambda one: (one,))
    outage = st.tuples(_troubles(), _mails(), _waits())
    crash = st.tuples(_mails(), _instants(), _breaks(LIFE))
    killed = st.builds(Break, fault=st.just(LIFE[0]), host=st.integers(1, 3))
    lost = st.tuples(_mails(), _instants(), killed)
    return st.one_of(alone, outage, crash, lost, _swizzles())


def schedules(size: int = SIZE) -> st.SearchStrategy[Schedule]:
    """Schedules of at most `size` actions, at least one of them a send."""
    return st.builds(
        Schedule,
        topology=topologies(),
        actions=st.lists(episodes(), min_size=1, max_size=max(1, size // 2)).map(
            lambda parts: tuple(action for part in parts for action in part)[:size]
        ),
        cut=st.sampled_from((None,) * WHOLE + CUTS),
        seed=st.integers(0, 99),
    ).filter(lambda schedule: any(isinstance(action, Mail) for action in schedule.actions))
