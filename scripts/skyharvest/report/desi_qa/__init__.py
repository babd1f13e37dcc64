"""The pages of quality of a production of DESI: a static site, production → night → exposure → camera."""
