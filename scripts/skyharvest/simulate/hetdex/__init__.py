"""A simulated release of HETDEX."""
