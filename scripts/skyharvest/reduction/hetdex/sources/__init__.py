"""Sources in calibrated fibers: spectra of points, files of detections, flags, continuum sources and cutouts."""
