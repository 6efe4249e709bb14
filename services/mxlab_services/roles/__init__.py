"""The nodes' roles: the parts of an MTA and of a DNS server, put together."""
