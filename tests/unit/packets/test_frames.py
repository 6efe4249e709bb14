"""Frames and blocks, byte by byte."""

import struct

import pytest

from mxlab.packets import pcapng
from mxlab.packets.frames import ACK, PSH, SYN, Port, tcp_frame, udp_frame
from mxlab.packets.stream import End, Frame, TcpStream

FOUR = Port("10.0.0.1", 40000), Port("10.0.0.2", 25)
SIX = Port("fd00::1", 40000), Port("fd00::2", 25)


def total(data: bytes) -> int:
    """The sum in ones' complement, 0xFFFF where a checksum in it is right (RFC 1071)."""
    data += bytes(len(data) % 2)
    found: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while found > 0xFFFF:
        found = (found & 0xFFFF) + (found >> 16)
    return found


@pytest.mark.parametrize("data", [b"", b"x", b"EHLO client.test\r\n"])
def test_checksums_of_ipv4(data: bytes) -> None:
    frame, size = tcp_frame(*FOUR, PSH | ACK, (1, 2), data)
    packet = frame[14:]
    assert size == len(frame)
    assert total(packet[:20]) == 0xFFFF
    segment = packet[20:]
    assert total(packet[12:20] + struct.pack("!HH", 6, len(segment)) + segment) == 0xFFFF


@pytest.mark.parametrize("data", [b"", b"y", b"two words"])
def test_checksums_of_ipv6(data: bytes) -> None:
    frame, _ = udp_frame(*SIX, data)
    packet = frame[14:]
    datagram = packet[40:]
    assert total(packet[8:40] + struct.pack("!II", len(datagram), 17) + datagram) == 0xFFFF


def test_a_frame_without_its_data_says_how_long_it_was() -> None:
    whole, size = tcp_frame(*FOUR, ACK, (1, 1), bytes(1000))
    cut, same = tcp_frame(*FOUR, ACK, (1, 1), size=1000)
    assert same == size == len(whole)
    assert cut[:34] == whole[:34]  # up to the end of the IP header
    assert len(cut) == len(whole) - 1000


def numbers(frame: Frame) -> tuple[int, int, int, int]:
    """Sequence and acknowledgement numbers, flags, length of the data, of a frame over IPv4."""
    sequence, acknowledged, offset, flags = struct.unpack("!IIBB", frame.data[38:48])
    return sequence, acknowledged, flags, frame.size - 34 - (offset >> 4) * 4


def test_a_stream_counts_and_acknowledges_every_byte() -> None:
    stream = TcpStream(End("client", FOUR[0]), End("mx1", FOUR[1]))
    stream.open(0)
    stream.send("server", 10_000, b"220 mx1\r\n")
    stream.elided("client", 20_000, 5000)
    stream.send("client", 20_000, b"\r\n.\r\n")
    stream.close("client", 30_000)
    said = {"client": 0, "server": 0}
    frames = stream.take()
    first: dict[str, int] = {}
    for frame in frames:
        side = "client" if frame.node == "client" else "server"
        other = "server" if side == "client" else "client"
        sequence, acknowledged, flags, length = numbers(frame)
        first.setdefault(side, sequence)
        assert sequence == first[side] + said[side]
        if flags & ACK:
            assert acknowledged == first[other] + said[other]
        said[side] += length + bool(flags & SYN) + bool(flags & 1)
    assert said == {"client": 5005 + 2, "server": 9 + 2}
    times = [frame.at for frame in frames]
    assert times == sorted(set(times))


def test_text_is_cut_within_no_character() -> None:
    block = pcapng.packet(0, 0, b"", comments=["ä" * 40_000])
    assert len(block) < 65_600
    text = block[28 + 4 : 28 + 4 + pcapng.MOST_TEXT]
    assert text.decode() == "ä" * 30_000


def test_a_block_says_its_length_at_both_ends() -> None:
    for block in (
        pcapng.section("mxlab", "a comment"),
        pcapng.interface("mx1", "x"),
        pcapng.name_resolution({"10.0.0.1": ["a.test"], "fd00::1": ["b.test", "c.test"]}),
        pcapng.tls_secrets(b"CLIENT_RANDOM 00 00\n"),
        pcapng.packet(0, 1 << 40, b"12345", 9, ["one", "two"]),
    ):
        length = struct.unpack("<I", block[4:8])[0]
        assert length == len(block)
        assert block[-4:] == block[4:8]
        assert length % 4 == 0
