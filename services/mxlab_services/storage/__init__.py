"""What keeps a node's data: files, or memory in the simulation, behind the same ports."""
