"""A zone of somebody's own, with a backup elsewhere."""

ZONE = """$TTL 1d
@ IN SOA ns1 hostmaster (7 4h 1h 2w 10m)
@ IN NS ns1
@ IN NS ns2.provider.example.
@ 5m IN MX 20 backup.provider.example.
@ 5m IN MX 10 MAIL
ns1 IN A 192.0.2.1
mail 60 IN A 192.0.2.2
mail 30 IN AAAA 2001:db8::2
"""
