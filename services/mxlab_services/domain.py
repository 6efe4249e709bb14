"""Domain names in one form: A-labels in lower case, without a final dot. Pure.

A U-label and its A-label are one label (RFC 5890 §2.3.2.1, IDNA 2008). Letters are first mapped as
UTS 46 says (case, width, composition), which is what people's programs do with what they type.
"""

import re
from functools import lru_cache

LABEL_OCTETS = 63  # RFC 1035 §2.3.4
DOMAIN_OCTETS = 253  # as text; 255 in a DNS message, with the lengths and the root (§3.1)
_LDH = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?", re.ASCII)


class DomainError(ValueError):
    """A text that is no domain name, and why not."""


def a_label(label: str) -> str:
    """The A-label of a label beyond ASCII, in lower case. Raises DomainError."""
    import idna  # its tables take a while to load, and few names need them

    try:
        mapped = idna.uts46_remap(label, std3_rules=False, transitional=False)
        return mapped.lower() if mapped.isascii() else idna.alabel(mapped).decode("ascii")
    except (idna.IDNAError, ValueError) as error:
        raise DomainError(f"{label[:80]!r} is no label: {error} (IDNA 2008)") from error


def to_ascii(domain: str) -> str:
    """The domain in lower case, with A-labels for U-labels. Raises DomainError."""
    if domain.isascii():
        return domain.lower()
    labels = one_dot(domain).split(".")
    return ".".join(label.lower() if label.isascii() else a_label(label) for label in labels)


def one_dot(name: str) -> str:
    """The name with full stops for the dots of other scripts (UTS 46 §2.3)."""
    return re.sub("[\u3002\uff0e\uff61]", ".", name)


@lru_cache(maxsize=4096)
def fold_domain(domain: str) -> str:
    """The one form by which a domain is compared. What is no domain is in lower case, no more."""
    try:
        return to_ascii(domain).rstrip(".")
    except DomainError:
        return domain.lower().rstrip(".")


def checked(domain: str, *, genuine: bool = False) -> str:
    """The one form of a domain for mail (RFC 5321 §4.1.2). Raises DomainError with the rule.

    `genuine`: what looks like an A-label is to be one; others' names may only look so.
    """
    folded = to_ascii(domain)
    if folded.endswith("."):
        raise DomainError(f"{domain[:80]!r} ends in a dot, which a domain in mail has not")
    for label in folded.split("."):
        if not label:
            raise DomainError(f"{domain[:80]!r} has an empty label")
        if len(label) > LABEL_OCTETS:
            problem = f"a label of {len(label)} octets, at most {LABEL_OCTETS} (RFC 1035 2.3.4)"
            raise DomainError(f"{domain[:80]!r} has {problem}")
        if not _LDH.fullmatch(label):
            problem = "letters, digits and hyphens, and no hyphen at either end (RFC 5321 4.1.2)"
            raise DomainError(f"{label[:80]!r} is no label: {problem}")
        if genuine and label.startswith("xn--"):
            _check_a_label(label)
    if len(folded) > DOMAIN_OCTETS:
        problem = f"{len(folded)} octets, at most {DOMAIN_OCTETS} (RFC 1035 2.3.4)"
        raise DomainError(f"{domain[:80]!r} has {problem}")
    return folded


def _check_a_label(label: str) -> None:
    import idna

    try:
        idna.ulabel(label)
    except (idna.IDNAError, ValueError) as error:
        raise DomainError(f"{label!r} is no A-label: {error} (RFC 5890 2.3.2.1)") from error
