"""Which mail had to wait at a host, by what is told of its queue and of the faults. Pure."""

from mxlab.history.trace import LAB, Trace
from mxlab_services import events
from mxlab_services.address import domain_of


def deferred_at(trace: Trace, host: str, domain: str = "") -> set[str]:
    """The messages for which an attempt failed at the host, on their way to that domain, or any."""
    return {
        event.message
        for event in trace.by_node.get(host, ())
        if isinstance(event.body, events.Deferred)
        and event.message is not None
        and _leads_to(domain, event.body.recipients)
    }


def kept_until_healed(trace: Trace, host: str, domain: str = "") -> set[str]:
    """The messages for that domain, or any, that lay in the host's queue as a fault was undone."""
    healed = [
        event.at for event in trace.by_node.get(LAB, ()) if isinstance(event.body, events.LabHealed)
    ]
    here: dict[str, tuple[str, float]] = {}  # by queue id: the message, and since when
    found: set[str] = set()
    for event in trace.by_node.get(host, ()):
        match event.body:
            case events.Accepted(queue_id=queue_id, recipients=recipients) if event.message:
                if _leads_to(domain, recipients):
                    here[queue_id] = event.message, event.at
            case events.Removed(queue_id=queue_id) if queue_id in here:
                message, since = here.pop(queue_id)
                if any(since < at < event.at for at in healed):
                    found.add(message)
            case _:
                pass
    rest = {message for message, since in here.values() if any(since < at for at in healed)}
    return found | rest


def _leads_to(domain: str, recipients: list[str]) -> bool:
    return not domain or domain in map(domain_of, recipients)
