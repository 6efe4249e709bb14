"""What a fault does to a host: one struct per mechanism, named in a scenario by its `kind`.

Only the parameters stand here; how each is done, undone and confirmed stands in `mxlab.faults`.
"""

from mxlab.model import inner, outer
from mxlab.model.outer import Kill, Mechanism, Pause, Stop

__all__ = ["MECHANISMS", "STRIKING", "Kill", "Mechanism", "Pause", "Stop", "inner", "outer"]

MECHANISMS: dict[str, type[Mechanism]] = {
    kind.kind: kind
    for kind in (
        outer.Kill, outer.Stop, outer.Pause,
        outer.Disconnect, outer.Drop, outer.Partition, outer.Reject,
        outer.SlowLink, outer.Loss, outer.LimitRate, outer.CutLink, outer.Segments,
        inner.Reply, inner.Delay, inner.Tarpit, inner.Latency, inner.Greylist, inner.Refuse,
        inner.Reset, inner.Cut, inner.LoseAck, inner.SlowClose, inner.Bandwidth, inner.TlsBroken,
        inner.MailboxFull, inner.DiskFull, inner.ReadOnly,
        inner.DnsNxdomain, inner.DnsServfail, inner.DnsRefused, inner.DnsTimeout, inner.DnsDelay,
        inner.DnsTruncate, inner.DnsStale, inner.DnsSwappedMx, inner.DnsWrongMx, inner.DnsNullMx,
        inner.DnsMxWithoutAddress,
    )
}  # fmt: skip
STRIKING: frozenset[str] = frozenset(  # those of which a node tells whenever they strike
    name
    for name, kind in MECHANISMS.items()
    if issubclass(kind, inner.InnerFault) and kind is not inner.Refuse  # which nobody sees
)
