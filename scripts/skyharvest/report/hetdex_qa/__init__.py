"""The pages of quality of HETDEX's reduction: a static site, all months → month → shot."""
