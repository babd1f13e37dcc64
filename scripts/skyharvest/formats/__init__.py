"""File formats, read and written without the network: FITS, HDF5, Arrow, NumPy tables, the plane of an image."""
