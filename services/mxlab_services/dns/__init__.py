"""DNS: zones (pure), an authoritative server, and a stub resolver with a cache."""
