"""A toy survey, which docs/adding-a-survey.md explains: spectra in FITS tables, one for each NSIDE=16 pixel."""
