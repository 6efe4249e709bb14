"""IP addresses and networks from their text. The few that a lab has are read once each."""

import functools
import ipaddress

ip_address = functools.lru_cache(maxsize=4096)(ipaddress.ip_address)
ip_network = functools.lru_cache(maxsize=4096)(ipaddress.ip_network)


@functools.lru_cache(maxsize=4096)
def six_text(octets: bytes) -> str:
    """An IPv6 address of 16 octets as RFC 5952 writes it."""
    return str(ipaddress.IPv6Address(octets))


def joined(address: str, port: int) -> str:
    """Address and port as one text; an IPv6 address in brackets (RFC 3986 §3.2.2)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
