"""Checks the archives of a configuration before a run: asks, and shows what was found."""
