"""What reply codes (RFC 5321 §4.2.3) and enhanced status codes (RFC 3463) mean. Pure."""

import re

REPLY: dict[int, str] = {
    211: "System status, or an answer to HELP.",
    214: "Help for people.",
    220: "The server is ready: its greeting, or go on with TLS after STARTTLS.",
    221: "The server closes the connection, after QUIT.",
    235: "The password is right (RFC 4954).",
    250: "Done. After the final dot: the message is the server's responsibility now.",
    251: "The recipient is elsewhere; the server forwards.",
    252: "It cannot be verified here, but mail for it is taken.",
    253: "ETRN: mail waits, and the queue is started (RFC 1985).",
    334: "AUTH goes on: say the next part (RFC 4954).",
    354: "Go on with the message, and end it with a single dot.",
    421: "The server closes the connection now: too many of them, or it shuts down. Come again.",
    432: "The password must be changed first (RFC 4954).",
    450: "The mailbox cannot be used now.",
    451: "A local error: the server could not do it now. Greylisting says this too.",
    452: "No room: the disk is full, or too many recipients for one transaction.",
    454: "TLS, or the check of passwords, is out of order for now (RFC 3207, RFC 4954).",
    455: "Parameters cannot be served now.",
    458: "ETRN: the queue could not be started (RFC 1985).",
    459: "ETRN: not allowed for that domain (RFC 1985).",
    500: "The command is not known, or the line is too long.",
    501: "Something in the command's parameters is wrong.",
    502: "The command is known and not implemented.",
    503: "Commands in a wrong order.",
    504: "A parameter is known and not implemented.",
    521: "The host takes no mail at all (RFC 7504).",
    523: "The message is longer than the receiver's limit.",
    530: "Authenticate first, or begin TLS first (RFC 4954, RFC 3207).",
    534: "That mechanism is too weak here (RFC 4954).",
    535: "Name or password is wrong (RFC 4954).",
    538: "The mechanism needs TLS (RFC 4954).",
    550: "No such mailbox, or refused by policy.",
    551: "The recipient is elsewhere; try there.",
    552: "Too large for the mailbox, or for the server.",
    553: "The form of the address is not allowed.",
    554: "The transaction failed; as a greeting: no mail is taken here.",
    555: "Parameters of MAIL or RCPT are not known.",
    556: "The domain takes no mail (RFC 7504).",
}
CLASSES = {
    2: "It is done.",
    3: "Go on.",
    4: "Not now: the sender keeps the message, and tries again.",
    5: "Never: the sender gives the message up, and tells its author.",
}
ENHANCED: dict[str, str] = {  # subject and detail -> what they say, whatever the class
    "0.0": "Other or undefined.",
    "1.0": "Something else about the address.",
    "1.1": "The mailbox does not exist.",
    "1.2": "The domain does not exist, or cannot take mail.",
    "1.3": "The address is written wrongly.",
    "1.5": "The address is valid.",
    "1.6": "The mailbox has moved, and nobody knows where to.",
    "1.7": "The sender's address is written wrongly.",
    "1.8": "The sender's domain does not exist.",
    "1.10": "The domain has a null MX: it takes no mail (RFC 7505).",
    "2.0": "Something else about the mailbox.",
    "2.1": "The mailbox is closed.",
    "2.2": "The mailbox is full.",
    "2.3": "The message is larger than that mailbox takes.",
    "3.0": "Something else about the server's system.",
    "3.1": "The server's disk is full.",
    "3.2": "The system takes no mail now.",
    "3.4": "The message is larger than the server takes.",
    "3.5": "The system is configured wrongly: mail loops back to it.",
    "4.0": "Something else about the network or the way.",
    "4.1": "No host answered.",
    "4.2": "The connection broke.",
    "4.3": "A directory, as the DNS, failed.",
    "4.4": "No way to the host is known.",
    "4.5": "The way is congested.",
    "4.6": "The message goes in a loop.",
    "4.7": "The message was tried until its lifetime ended.",
    "5.0": "Something else about the conversation.",
    "5.1": "The command was not allowed there.",
    "5.2": "The command was written wrongly.",
    "5.3": "Too many recipients.",
    "5.4": "Parameters of the command are wrong.",
    "5.6": "Too much for one line (RFC 4954).",
    "6.0": "Something else about the content.",
    "6.3": "The content would have to be converted, and cannot be.",
    "6.7": "The address is beyond ASCII, and the next host does not take that (RFC 6531).",
    "7.0": "Something else about security or policy.",
    "7.1": "Refused by policy; relaying is not allowed.",
    "7.4": "The mechanism is not known (RFC 4954).",
    "7.8": "Name or password is wrong (RFC 4954).",
    "7.9": "The mechanism is too weak (RFC 4954).",
    "7.11": "It needs encryption (RFC 4954).",
    "7.27": "The sender's domain has a null MX (RFC 7505).",
}
_REPLY = re.compile(r"[2-5]\d\d", re.ASCII)
_ENHANCED = re.compile(r"([245])\.(\d{1,3}\.\d{1,3})", re.ASCII)


def meaning_of(code: str) -> list[str] | None:
    """The code's own meaning and that of its class; None for what is no code. A code that nobody
    knows has the meaning of its class alone."""
    if _REPLY.fullmatch(code):
        own = REPLY.get(int(code))
        return [*([own] if own else []), CLASSES[int(code[0])]]
    if (match := _ENHANCED.fullmatch(code)) is not None:
        own = ENHANCED.get(match[2])
        return [*([own] if own else []), CLASSES[int(match[1])]]
    return None
