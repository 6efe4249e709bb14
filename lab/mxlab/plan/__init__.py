"""A topology -> each node's configuration and certificates, the same for every backend."""
