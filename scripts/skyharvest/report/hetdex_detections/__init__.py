"""A report of each detection of HETDEX's reduction: what it is, where its light fell, and what it may be."""
