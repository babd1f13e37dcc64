"""The steps of the reduction, by the names of their products, and the states of what they make. Light."""

DONE, FAILED, WAITING, LEFT_OUT = STATES = ("done", "failed", "waiting", "left_out")
FRAMES = "frames"
CALIBRATIONS = ("bias", "trace", "flat", "wavelength")
"""Steps of a pairing in a month, each of which needs those before."""
OF_SHOT = ("astrometry", "stars", "seds", "throughput", "shots")
"""Steps of a shot, likewise."""
STEPS = (FRAMES, *CALIBRATIONS, "amp_to_amp", "science", "full_sky", *OF_SHOT, "residuals")
RULES = {"wavelength": "hetdex_twilight", "shots": "hetdex_shot"}
"""Names of rules that are not ``hetdex_`` and the step; their logs are named after them."""
