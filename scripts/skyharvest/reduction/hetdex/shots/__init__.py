"""Calibrated fibers, and the file of a shot."""
