"""All judges together: whoever holds a set-up against the rules has it from here."""

from mxlab.audit import backup, exchanges, hosts, naming
from mxlab.audit.judging import JUDGES, hold, known_rules

__all__ = ["JUDGES", "backup", "exchanges", "hold", "hosts", "known_rules", "naming"]
