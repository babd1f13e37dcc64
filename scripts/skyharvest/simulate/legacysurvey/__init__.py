"""A simulated release of the Legacy Surveys."""
