"""SMTP out, on aiosmtplib: connections, replies, one transaction."""
