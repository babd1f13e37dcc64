"""Where the demo's simulated releases are written, below the working directory."""

DEMO = "resources/demo"
DEMO_CSV = f"{DEMO}/targets.csv"
