"""A month of HETDEX: raw VIRUS frames in tar files with known truth, and what their reduction needs beside them.

For the demo and for tests. Nothing of `skyharvest.reduction` makes the truth, for what is simulated here tests it. Two
files of it are read, as facts that both must share: the spectrum of the Sun and the library of spectra of stars.
`compare` alone reads the reduction's products, by its own readers.
"""
