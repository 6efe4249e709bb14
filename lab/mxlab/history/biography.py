"""The biography of one message: its events in plain words, with times and the sections that explain
them. Pure."""

from mxlab.history.trace import LAB, Trace
from mxlab.model.duration import format_duration
from mxlab_services import events
from mxlab_services.events import Event

_NOT_THERE = "no event names this message"


def biography(trace: Trace, message: str, *, dialog: bool = False) -> list[str]:
    """One message's life, a line for each event: time since its first event (lab time), node, what
    happened. Faults in effect at its birth, and settings that had been changed, stand first, at
    +0s; what was injected, healed or changed meanwhile stands between. `dialog` adds the SMTP
    conversations."""
    if not trace.of_message(message):
        return [f"{message}: {_NOT_THERE}"]
    return [message, *(head + text for head, text in life(trace, message, dialog=dialog))]


def life(trace: Trace, message: str, *, dialog: bool = False) -> list[tuple[str, str]]:
    """The lines of a biography, each as time and node, in columns, and what happened."""
    own = trace.of_message(message)
    if not own:
        return []
    begin, end = own[0].at, own[-1].at
    lab = [*_faults(trace, begin, end), *_settings(trace, begin, end)]
    width = max(len(event.node) for event in [*own, *lab])
    lines: list[tuple[str, str]] = []
    for event in sorted([*own, *lab], key=lambda event: event.at):
        offset = "+" + format_duration(max(0.0, round(event.at - begin, 3)))
        lines.append((f"{offset:>12}  {event.node:<{width}}  ", describe(event, message)))
        if dialog and isinstance(event.body, events.Tried | events.HandedIn):
            lines += [(f"{'':>12}  {'':<{width}}    ", line) for line in event.body.dialog]
    return lines


def notifications(trace: Trace, message: str) -> list[str]:
    """The notifications about a message, by name."""
    return [
        event.message
        for event in trace.of_message(message)
        if isinstance(event.body, events.Bounced)
        and event.body.about == message
        and event.message is not None
    ]


def _faults(trace: Trace, begin: float, end: float) -> list[Event]:
    before: dict[str, Event] = {}
    meanwhile: list[Event] = []
    for event in trace.by_node.get(LAB, ()):
        if event.at > end:
            break
        match event.body:
            case events.LabFault(id=name) if event.at < begin:
                before[name] = event
            case events.LabHealed(id=name) if event.at < begin:
                before.pop(name, None)
            case events.LabFault() | events.LabHealed():
                meanwhile.append(event)
            case _:
                pass
    return [*before.values(), *meanwhile]


def _settings(trace: Trace, begin: float, end: float) -> list[Event]:
    before: dict[tuple[str, str], Event] = {}
    meanwhile: list[Event] = []
    for event in trace.changes:
        if isinstance(event.body, events.ConfigChanged) and event.at < begin:
            before[event.node, event.body.key] = event
        elif event.at <= end:
            meanwhile.append(event)
    return [*before.values(), *meanwhile]


def describe(event: Event, message: str | None = None) -> str:
    """One event in plain words. `message` is whose biography it stands in. What a node knows of
    another product by its log, its queue or what went through the proxy has that in brackets."""
    whence = f" [{event.source}]" if event.source else ""
    return _told(event, message) + whence


def _told(event: Event, message: str | None) -> str:
    match event.body:
        case events.Bounced(about=about) as bounce if about == message:
            who = ", ".join(bounce.recipients)
            return (
                f"tells {bounce.to} that it is {bounce.action} for {who}: notification "
                f"{event.message} (RFC 3464)"
            )
        case events.LabStep() | events.LabFault() | events.LabHealed():
            return _lab(event.body)
        case (
            events.NodeReady() | events.NodeStopping() | events.NodeErased() | events.OutOfFiles()
            | events.DnsQuery() | events.DnsZone() | events.ConfigChanged()
        ):  # fmt: skip
            return _node(event.body)
        case (
            events.DnsTransfer() | events.DnsTransferFailed() | events.DnsExpired()
            | events.DnsNotified()
        ):  # fmt: skip
            return _copy(event.body)
        case events.Lookup() | events.Routed():
            return _way(event.body)
        case (
            events.AttemptStarted() | events.Tried() | events.Outcome() | events.DestinationDead()
            | events.DestinationAlive() | events.FaultStruck() | events.HandedIn()
        ):  # fmt: skip
            return _attempt(event.body)
        case body:
            return _queue(body)


def _lab(body: events.Body) -> str:
    match body:
        case events.LabStep(index=index, text=text):
            return f"step {index}: {text}"
        case events.LabFault(id=name, fault=fault, node=node):
            return f"fault {name}: {fault} {node}"
        case events.LabHealed(id=name):
            return f"healed: {name}"
    return body.kind


def _node(body: events.Body) -> str:
    match body:
        case events.NodeReady(role=role, queued=queued, software=software):
            whose = f" with {software}" if software else ""
            return f"is ready as {role}{whose}, {queued} in the queue"
        case events.OutOfFiles(listener=listener, limit=limit):
            return f"{listener} accepts nobody for a moment: {limit} files are open, as may be"
        case events.NodeStopping(reason=reason):
            return f"stops: {reason}"
        case events.NodeErased():
            return "has lost all that it had, and begins anew"
        case events.ConfigChanged(key=key, old=old, new=new):
            return f"is given another setting: {key} = {new}, was {old}"
        case events.DnsQuery(name=name, type=kind, rcode=rcode, answers=answers, peer=peer):
            return f"answers {peer}: {name} {kind} is {_list(answers) or rcode}"
        case events.DnsZone(origin=origin, serial=serial):
            return f"zone {origin} is at serial {serial}"
    return body.kind


def _copy(body: events.Body) -> str:
    """The way of a zone from its primary to its secondaries."""
    match body:
        case events.DnsTransfer(origin=origin, primary=primary, serial=serial, why=why):
            return f"takes zone {origin} from {primary}, serial {serial} ({why}; RFC 5936)"
        case events.DnsTransferFailed(origin=origin, primary=primary, reason=reason):
            return f"has no newer zone {origin} from {primary}: {reason}"
        case events.DnsExpired(origin=origin, serial=serial):
            return f"zone {origin}, serial {serial}, has expired: SERVFAIL (RFC 1034 §4.3.5)"
        case events.DnsNotified(origin=origin, serial=serial, secondary=secondary, reply=reply):
            return f"tells {secondary} of zone {origin}, serial {serial}: {reply} (RFC 1996)"
    return body.kind


def _way(body: events.Body) -> str:
    match body:
        case events.Lookup(name=name, type=kind, status=status, answers=answers, cached=cached):
            memory = ", from the cache" if cached else ""
            return f"looks up {name} {kind}: {_list(answers) or status}{memory} (RFC 5321 §5.1)"
        case events.Routed(domain=domain, targets=targets, reason=reason, section=section) as route:
            gone = f"; discarded: {_list(route.discarded)}" if route.discarded else ""
            hosts = " then ".join(targets) or "nowhere"
            return f"routes {domain} to {hosts}: {reason} ({section}){gone}"
    return body.kind


def _attempt(body: events.Body) -> str:
    match body:
        case events.AttemptStarted(attempt=number, recipients=recipients, domain=domain):
            return f"attempt {number} for {_list(recipients)} at {domain}"
        case events.Tried(host=host, stage="skipped", preference=preference, reply=reply):
            return f"does not ask {host} (preference {preference}) now: {reply}"
        case events.Tried(host=host, address=address, preference=preference, reply=reply) as tried:
            took = f"{tried.seconds:.3f} s"
            rank = f" (preference {preference})" if preference >= 0 else ""  # else it is not told
            return f"tries {host} [{address}]{rank}, as far as {tried.stage}, {took}: {reply}"
        case events.HandedIn(host=host, user=user, reply=reply) as handed:
            again = f", try {handed.attempt}" if handed.attempt > 1 else ""
            return (
                f"a program hands it in at {host} as {user or 'nobody'}{again}, as far as "
                f"{handed.stage}: {reply} (RFC 6409)"
            )
        case events.Outcome(recipient=recipient, outcome="unknown", host=host):
            return (
                f"{recipient}: outcome unknown, {host} never answered the final dot; a copy may "
                f"be there (RFC 1047)"
            )
        case events.Outcome(recipient=recipient, outcome=outcome, reply=reply, host=host):
            by = f" by {host}" if host else ""
            return f"{recipient}: {outcome}{by}: {reply}"
        case events.DestinationDead(domain=domain, reason=reason):
            return f"{domain} counts as dead for a while: {reason}"
        case events.DestinationAlive(domain=domain):
            return f"{domain} answers again"
        case events.FaultStruck(fault=fault, name=name, place=place, peer=peer):
            whom = f", at {peer}" if peer else ""
            return f"fault {fault} ({name}) strikes at {place}{whom}"
    return body.kind


def _queue(body: events.Body) -> str:
    match body:
        case events.Accepted(queue_id=queue_id, recipients=recipients, peer=peer) as taken:
            origin = f"from {peer}" if peer else "made here"
            mail = f"of <{taken.sender}> for {_list(recipients)}"
            return (
                f"is responsible now: durable as {queue_id}, mail {mail}, {origin} (RFC 5321 §6.1)"
            )
        case events.Expanded(recipient=recipient, members=members):
            return f"has it for {_list(members)} in the place of {recipient} (RFC 5321 §3.9)"
        case events.Refused(verb=verb, reply=reply, peer=peer):
            return f"refuses {verb} from {peer}: {reply}"
        case events.Deferred(queue_id=queue_id, recipients=recipients, reason=reason) as deferred:
            return (
                f"keeps {queue_id} for {_list(recipients)} after attempt {deferred.attempt}: "
                f"{reason} (RFC 5321 §4.5.4.1)"
            )
        case events.Removed(queue_id=queue_id):
            return f"is done with {queue_id}"
        case events.Flushed(scope=scope):
            return f"is asked to try {scope} now"
        case events.EtrnSent(host=host, domain=domain, reply=reply):
            return f"asks {host} to start its queue for {domain}: {reply} (RFC 1985)"
        case events.Edited(queue_id=queue_id, action=action):
            return f"an operator says {action} to {queue_id}"
        case events.SpoolDamaged(problem=problem):
            return f"found its spool damaged: {problem}"
        case events.MailboxDelivered(recipient=recipient, name=name, mailbox=mailbox):
            tagged = f", for {recipient}" if mailbox else ""
            return f"delivered to the mailbox of {mailbox or recipient} as {name}{tagged}"
        case events.Bounced(about=about, to=to, action=action):
            return f"is the notification to {to} that {about} is {action} (RFC 3464)"
        case events.BounceSuppressed(recipients=recipients, reason=reason):
            return f"gives up {_list(recipients)} without a notification: {reason} (RFC 5321 §6.1)"
    return body.kind


def _list(items: list[str]) -> str:
    return ", ".join(items)
