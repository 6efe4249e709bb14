"""`{mx1}` in zone text: the address of a host, which nobody knows before the lab is up. Pure.

In A and AAAA records it is the host's address of that family, and must be one; elsewhere (in a TXT,
say) what is no host of the lab is left as it stands.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence

from mxlab.errors import UnknownName, UsageError

_IN_RECORD = re.compile(r"(?<=\b)(AAAA|A)([ \t]+)\{([^{}\s]*)\}", re.IGNORECASE)
_ANYWHERE = re.compile(r"\{([a-z][a-z0-9-]*)\}")


def with_addresses(text: str, hosts: Mapping[str, Sequence[str]]) -> str:
    """The text with each `{host}` replaced; `hosts` have their addresses, the first before others.

    Raises UnknownName for a host that is not there, UsageError for one without such an address.
    """

    def in_record(found: re.Match[str]) -> str:
        kind, space, host = found.groups()
        if host not in hosts:
            raise UnknownName("host", host, hosts)
        version = 6 if kind.upper() == "AAAA" else 4
        own = [one for one in hosts[host] if ipaddress.ip_address(one).version == version]
        if not own:
            raise UsageError(f"{host} has no address of IPv{version}", "see `ip` in the topology")
        return f"{kind}{space}{own[0]}"

    def anywhere(found: re.Match[str]) -> str:
        return hosts[found[1]][0] if found[1] in hosts else found[0]

    return _ANYWHERE.sub(anywhere, _IN_RECORD.sub(in_record, text))
