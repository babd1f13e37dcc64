"""DESI's spectroscopic pipeline: raw exposures to redshifts. The steps that desispec does are its own commands."""
