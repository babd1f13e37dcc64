"""The reduction of raw frames of HETDEX (VIRUS): to calibrated fibers."""
