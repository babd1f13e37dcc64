"""The release of a reduction: cubes and their index, tables of all shots, fibers, lines and continuum sources."""
