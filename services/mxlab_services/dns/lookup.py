"""What every resolver of the MTA has: a cache, one search for equal questions, aliases followed.

DNS failures are values. The cache lives in lab time: answers for their TTL, negative ones for
min(SOA TTL, SOA MINIMUM) (RFC 2308 §5), failures briefly (RFC 9520 §3.2); its size is bounded. How
an answer is found is the business of a `Finder`.
"""

import asyncio
import functools
from collections import OrderedDict
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from mxlab_services.clock import Clock
from mxlab_services.control.replies import DigReport
from mxlab_services.dns.answers import Answer
from mxlab_services.dns.dig import Exchanged, dig_report, trace_report
from mxlab_services.dns.names import Name, fold, parse_name
from mxlab_services.dns.query import DnsReply
from mxlab_services.dns.reading import FAILURE_TTL, MAX_TTL, Learnt, answer_of, bare
from mxlab_services.dns.rtypes import type_name, type_number
from mxlab_services.errors import ControlError, ZoneError
from mxlab_services.events import Emit, Lookup

MAX_CHAIN = 8  # CNAMEs followed in one lookup
CACHED = 10_000  # answers kept


class Finder(Protocol):
    """Finds what the DNS says of one name, past every cache of answers."""

    async def find(self, name: Name, kind: str) -> Learnt:
        """Records, a status, or a name to ask for again; never a referral."""
        ...

    async def question(
        self, name: Name, kind: str, tcp: bool, server: str
    ) -> tuple[tuple[str, int], DnsReply | None]:
        """One question to the server at an address, or to whoever it is to be asked of: who was
        asked, and the reply. Raises ControlError where nobody may be."""
        ...

    async def walk(self, name: Name, kind: str) -> tuple[list[Exchanged], Learnt]:
        """The whole way, past everything known, and where it led."""
        ...

    def forget(self) -> None:
        """Forget what was learnt of servers."""
        ...


class _Found(Struct, frozen=True):
    """An outcome and the lab seconds for which it holds."""

    answer: Answer
    ttl: float


class CachingResolver:
    """`answers.Resolver` over a Finder. `size`: answers kept."""

    def __init__(self, finder: Finder, clock: Clock, emit: Emit, size: int = CACHED) -> None:
        self._finder = finder
        self._clock = clock
        self._emit = emit
        self._size = size
        self._cache: OrderedDict[tuple[Name | None, str], tuple[float, Answer]] = OrderedDict()
        self._running: dict[tuple[Name, str], asyncio.Task[Answer]] = {}

    async def mx(self, name: str, message: str | None = None) -> Answer:
        """The MX records of `name`, in the order given."""
        answer = self._kept(name, "MX") or await self._look_up(name, "MX")
        shown = [f"{item.preference} {item.exchange or '.'}" for item in answer.mx]
        self._emit(Lookup(name, "MX", answer.status, shown, answer.cached), message)
        return answer

    async def addresses(self, name: str, message: str | None = None) -> Answer:
        """A and AAAA together, A first; found if either is, temporary if that could change it."""
        four, six = await self._families(name)
        best = next((one for one in (four, six) if one.status == "ok"), None) or next(
            (one for one in (four, six) if one.temporary), four
        )
        found = (*four.addresses, *six.addresses)
        answer = replace(best, type="A", addresses=found, cached=four.cached and six.cached)
        self._emit(Lookup(name, "A", answer.status, list(found), answer.cached), message)
        return answer

    def forget(self) -> None:
        """Ask for everything again."""
        self._cache.clear()
        self._finder.forget()

    async def dig(
        self,
        name: str,
        type: str = "A",  # noqa: A002
        tcp: bool = False,
        server: str = "",
        trace: bool = False,
    ) -> DigReport:
        """Ask past the cache: once, or with `trace` all the way from where it begins. Raises
        ControlError for what is no question."""
        if (number := type_number(type)) is None:
            raise ControlError(f"no such record type: {type!r}", -32602)
        kind = type_name(number)
        try:
            asked = fold(parse_name(name)) if trace else parse_name(name)
        except ZoneError as error:
            raise ControlError(str(error), -32602) from error
        loop = asyncio.get_running_loop()
        began = loop.time()
        options = f"{' +tcp' if tcp else ''}{' +trace' if trace else ''}"
        head = f"; <<>> mxlab <<>> {f'@{server} ' if server else ''}{name} {kind}{options}\n"
        if trace:
            seen, step = await self._finder.walk(asked, kind)
            return trace_report(head, seen, step.why, (loop.time() - began) * 1000)
        place, reply = await self._finder.question(asked, kind, tcp, server)
        return dig_report(head, place, reply, (loop.time() - began) * 1000)

    async def _families(self, name: str) -> tuple[Answer, Answer]:
        """A and AAAA."""
        four, six = self._kept(name, "A"), self._kept(name, "AAAA")
        if four is not None and six is not None:
            return four, six
        return await asyncio.gather(self._look_up(name, "A"), self._look_up(name, "AAAA"))

    def _kept(self, name: str, kind: str) -> Answer | None:
        """What the cache has of it that still holds."""
        key = _asked(name), kind
        if (found := self._cache.get(key)) is None:
            return None
        until, answer = found
        if until <= self._clock.time():
            del self._cache[key]
            return None
        self._cache.move_to_end(key)
        return answer if answer.name == name else replace(answer, name=name)

    async def _look_up(self, name: str, kind: str) -> Answer:
        if (asked := _asked(name)) is None:  # no such name can exist
            return Answer(name, kind, "nxdomain", name)
        if (kept := self._kept(name, kind)) is not None:
            return kept
        key = asked, kind
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(name, asked, kind))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        # A caller that gives up must not take the answer from the others.
        return replace(await asyncio.shield(task), name=name)

    async def _ask(self, name: str, asked: Name, kind: str) -> Answer:
        found = await self._follow(name, asked, kind)
        if found.ttl > 0:
            kept = replace(found.answer, cached=True)
            self._cache[asked, kind] = self._clock.time() + found.ttl, kept
            while len(self._cache) > self._size:
                self._cache.popitem(last=False)
        return found.answer

    async def _follow(self, name: str, asked: Name, kind: str) -> _Found:
        """Ask, and ask again for the target of a CNAME that the server did not follow."""
        current = asked
        ttl: float = MAX_TTL
        for _ in range(MAX_CHAIN):
            step = await self._finder.find(current, kind)
            current, ttl = step.name, min(ttl, step.ttl)
            if not step.again:
                return _Found(answer_of(name, kind, step), ttl)
        why = f"more than {MAX_CHAIN} aliases, or a loop of them"
        return _Found(Answer(name, kind, "servfail", bare(current), why=why), FAILURE_TTL)


@functools.lru_cache(maxsize=4096)
def _asked(name: str) -> Name | None:
    """A name as it is asked for; None where no such name can exist."""
    try:
        return fold(parse_name(name))
    except ZoneError:
        return None
