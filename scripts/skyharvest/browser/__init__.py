"""Pages to look at the spectra of a pixel with."""
