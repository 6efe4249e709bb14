"""The client's submissions: messages made and handed in."""
