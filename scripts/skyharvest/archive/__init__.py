"""Files of an archive, on disk or behind HTTP(S): read by byte ranges, or downloaded whole."""
