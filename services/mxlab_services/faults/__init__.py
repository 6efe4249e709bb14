"""Faults inside a node: which there are, and which occasions they strike."""
