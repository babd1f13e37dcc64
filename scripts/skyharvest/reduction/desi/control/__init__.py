"""Control of a production: how its tasks stand, and what people do with some of them, with Snakemake and without."""
