"""The configuration: loaded, filled in, checked."""
