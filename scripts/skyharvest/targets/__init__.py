"""The targets: the CSV of sky positions, checked and laid out."""
