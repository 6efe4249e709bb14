"""The rules of mail, tried as a black box on any mail server."""
