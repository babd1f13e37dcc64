"""What a run has made, read back and counted."""
