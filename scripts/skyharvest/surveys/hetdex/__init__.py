"""HETDEX: spectra out of IFU cubes, and its own catalogue and detections."""
