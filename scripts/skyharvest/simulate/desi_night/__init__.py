"""A night of DESI: raw exposures with known truth, and what desispec wants beside them. For the demo and for tests.

Nothing of `skyharvest.reduction` is used: what is simulated here tests it.
"""
