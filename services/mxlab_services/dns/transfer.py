"""Zone transfers (RFC 5936): a zone as messages, and messages as the records of a zone.

What a peer sends is checked whole before anybody sees a record of it: every message belongs to the
question, and the zone begins and ends with one SOA. A transfer that is anything else is a
TransferError, which says why.
"""

import asyncio
import random
from collections.abc import Iterator

from mxlab_services.dns.fields import MAX_TTL
from mxlab_services.dns.names import Name, fold, is_below, name_text
from mxlab_services.dns.query import Source, question_bytes, rcode_name
from mxlab_services.dns.rdata import split_data, wire_of
from mxlab_services.dns.records import Record, data_of
from mxlab_services.dns.unpack import Unpacked, unpack
from mxlab_services.dns.wire import IN, Query, write_records
from mxlab_services.errors import ServiceError, ZoneError

MESSAGE = 16_000  # bytes of records in one message: as far as the pointers to names reach
_KIND, _REPLY = 0xF800, 0x8000  # the flags that say whether it is an answer, and to what
MOST_RECORDS = 1_000_000  # taken from a peer


class TransferError(ServiceError):
    """A zone could not be taken from a server; the text says why."""


def write_transfer(query: Query, zone: tuple[Record, ...]) -> Iterator[bytes]:
    """The messages that hold the records of a zone, its SOA first and last (RFC 5936 §2.2)."""
    batch: list[Record] = []
    size, first = 0, True
    for record in zone:
        length = sum(map(len, record.owner)) + len(record.owner) + 11 + len(wire_of(record.data))
        if batch and size + length > MESSAGE:
            yield write_records(query, batch, question=first)
            batch, size, first = [], 0, False
        batch.append(record)
        size += length
    yield write_records(query, batch, question=first)


async def fetch(
    server: tuple[str, int], origin: Name, rng: random.Random, source: Source, seconds: float
) -> list[Record]:
    """The records of the zone `origin` from `server`, the SOA once. Raises TransferError.

    `seconds`: the real time after which a server that goes on, or is silent, is given up.
    """
    identifier = rng.randrange(65536)
    packet = identifier.to_bytes(2) + question_bytes(origin, "AXFR", recursion=False)
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(*server, local_addr=source)
            writer.write(len(packet).to_bytes(2) + packet)
            await writer.drain()
            return await _receive(reader, identifier, origin)
    except TimeoutError as error:
        raise TransferError(f"no whole zone within {seconds:g} s") from error
    except EOFError as error:
        raise TransferError("the connection ended within the zone") from error
    except OSError as error:
        raise TransferError(f"no connection: {error.strerror or error}") from error
    finally:
        if writer is not None:
            writer.close()


async def _receive(reader: asyncio.StreamReader, identifier: int, origin: Name) -> list[Record]:
    records: list[Record] = []
    while True:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        for record in read_message(data, identifier, origin):
            if not records and (record.type != "SOA" or record.owner != fold(origin)):
                raise TransferError("the zone does not begin with its SOA")
            if records and record.type == "SOA":
                if record.key() != records[0].key():
                    raise TransferError("the zone changed while it was sent")
                return records
            records.append(record)
            if len(records) > MOST_RECORDS:
                raise TransferError(f"more than {MOST_RECORDS} records")


def read_message(data: bytes, identifier: int, origin: Name) -> list[Record]:
    """The records in one message of a transfer. Raises TransferError."""
    try:
        message = unpack(data)
    except ValueError as error:
        raise TransferError("a message that cannot be read") from error
    asked = [(fold(name), kind) for name, kind in message.questions]
    ours = message.id == identifier and asked in ([], [(fold(origin), "AXFR")])
    if not ours or message.flags & _KIND != _REPLY:
        raise TransferError("a message that is no answer to the question")
    if message.rcode:
        raise TransferError(f"the server says {rcode_name(message.rcode)}")
    if not message.answers:
        raise TransferError("a message without records")
    return [_record(one, origin) for one in message.answers]


def _record(found: Unpacked, origin: Name) -> Record:
    kind, owner = found.type, fold(found.owner)
    if found.cls != IN or not is_below(owner, fold(origin)):
        raise TransferError(f"a record that is not the zone's: {name_text(owner)} {kind}")
    try:
        split_data(kind, found.data)
        return Record(owner, kind, min(found.ttl, MAX_TTL), data_of(kind, found.data))
    except ZoneError as error:
        raise TransferError(f"{name_text(owner)}: {error}") from error
