"""A lab's conversations and questions as packets, made from the record of them."""
