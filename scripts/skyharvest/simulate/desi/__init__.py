"""A simulated release of DESI."""
