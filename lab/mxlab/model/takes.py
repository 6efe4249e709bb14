"""What mail an exchange takes, over all of its domains: whose it is, whom it knows there. Pure."""

import msgspec

from mxlab.model.topology import Topology


class Takes(msgspec.Struct, frozen=True):
    """Field by field as in the services' configuration of an MTA."""

    local_domains: list[str]
    relay_domains: list[str]
    recipients: list[str] | None
    open_domains: list[str]
    aliases: dict[str, list[str]]


def takes(topology: Topology, host: str) -> Takes:
    """What the exchange `host` takes. Where it is a primary it knows users and aliases; where it is
    a backup, both as recipients, if it is told of them at all."""
    local = [d for d in topology.mail_domains if host in d.primaries]
    relayed = [d for d in topology.mail_domains if host in d.backups]
    known = [
        d
        for d in (*local, *relayed)
        if d.recipients is not None and (d in local or d.backup_knows_recipients)
    ]
    users = [a for d in known for a in d.recipients or ()]
    users += [alias for d in known if d not in local for alias in d.alias_members]
    unknown = [d.domain for d in (*local, *relayed) if d not in known]
    return Takes(
        local_domains=[d.domain for d in local],
        relay_domains=[d.domain for d in relayed],
        recipients=users if known else None,
        open_domains=unknown if known else [],
        aliases={alias: to for d in local for alias, to in d.alias_members.items()},
    )
