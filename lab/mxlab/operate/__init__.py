"""What an operator does to a lab that is up, for whoever asks: a command, a page, an exercise."""
