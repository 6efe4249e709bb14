"""The simulated world: the same services on virtual time, an in-memory network and disk."""
