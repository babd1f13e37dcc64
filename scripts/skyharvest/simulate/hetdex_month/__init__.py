"""A month of HETDEX: raw VIRUS frames in tar files with known truth, and what their reduction needs beside them.

For the demo and for tests. Nothing of `skyharvest.reduction` makes the truth, for what is simulated here tests it. The
one exception is the spectrum of the Sun, which is a fact that both must share: `spectra.sun`.
"""
