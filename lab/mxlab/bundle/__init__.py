"""A run as one file of evidence: packed, read within bounds, judged again."""
