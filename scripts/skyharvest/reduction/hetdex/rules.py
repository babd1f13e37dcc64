"""What the rules of HETDEX's reduction ask.

Without Snakemake, and light: it is imported whenever the workflow is parsed.
"""
