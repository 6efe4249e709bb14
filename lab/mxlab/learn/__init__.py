"""An exercise on a lab that is up: begun, looked at, checked, proven; and a student's progress."""
