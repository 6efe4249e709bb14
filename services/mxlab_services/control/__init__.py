"""What a node can be asked, and how requests and replies travel."""
