"""Skyharvest: harvest what public sky surveys hold at a list of sky positions.

The library behind the programs in ``scripts/``. It does not depend on Snakemake. Importing the package itself
imports nothing heavy: jobs are short and many, so each module imports only what it needs.
"""

__version__ = "0.1.0"
