"""IP addresses and networks from their text. The few that a lab has are read once each."""

import functools
import ipaddress

ip_address = functools.lru_cache(maxsize=4096)(ipaddress.ip_address)
ip_network = functools.lru_cache(maxsize=4096)(ipaddress.ip_network)
