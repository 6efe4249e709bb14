"""What runs inside the nodes: a DNS server and one MTA in three roles.

Every part takes its clock, randomness, ids, network (the running asyncio loop) and spool as
arguments, so the same code runs in containers, in local processes and in a simulation.
"""
