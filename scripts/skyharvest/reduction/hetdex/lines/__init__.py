"""Emission lines in calibrated fibers: found and fitted; limits of their flux; and which share of them is found."""
