"""The sending client: an MTA that only submits, and its own record of what it saw."""
