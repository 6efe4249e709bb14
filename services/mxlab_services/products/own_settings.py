"""Settings in a product's own words, which stand in the place of what is rendered. Pure.

What is set so is the product's, for good or ill: a lesson has its wrong configuration from here.
Only what a node itself stands on cannot be set, nor what would be more than one setting.
"""

import re
from collections.abc import Iterable, Mapping

from mxlab_services.config import Software

RETRY = "retry"  # Exim's section of that name: its rules, with semicolons between; or none at all
_NAMES: Mapping[Software, re.Pattern[str]] = {
    "postfix": re.compile(r"[a-z][a-z0-9_]*", re.ASCII),
    "exim": re.compile(r"(?:(?:domain|host|address|localpart)list )?[a-z][a-z0-9_]*", re.ASCII),
}
_OURS: Mapping[Software, frozenset[str]] = {
    "postfix": frozenset((
        "compatibility_level", "data_directory", "enable_long_queue_ids", "inet_interfaces",
        "mail_owner", "maillog_file", "queue_directory", "setgid_group", "virtual_mailbox_base",
    )),
    "exim": frozenset((
        "daemon_smtp_ports", "exim_group", "exim_user", "hosts_proxy", "local_interfaces",
        "log_file_path", "log_selector", "pid_file_path", "spool_directory", "timezone",
    )),
}  # fmt: skip
LONGEST = 2000  # characters of a value


def problem_of_setting(software: Software, name: str, value: str) -> str:
    """Why this cannot be said of a host with that software; empty where it can."""
    if software not in _NAMES:
        return "only a host that is postfix or exim has settings of its product"
    if not _NAMES[software].fullmatch(name):
        return f"no setting of {software} has such a name"
    if name in _OURS[software]:
        return "the node itself stands on this setting"
    if len(value) > LONGEST:
        return f"a value has at most {LONGEST} characters"
    if not value.isprintable() or value.endswith("\\"):
        return "a value is one line of printable characters, with no backslash at its end"
    return ""


def with_settings(lines: Iterable[str], settings: Mapping[str, str]) -> list[str]:
    """Lines of `name = value` with these in the place of those of the same names; the others after
    them. A line without a value is its own name."""
    left, found = dict(settings), []
    for line in lines:
        name = line.partition("=")[0].strip()
        found.append(f"{name} = {left.pop(name)}".rstrip() if name in left else line)
    return found + [f"{name} = {value}".rstrip() for name, value in left.items()]
