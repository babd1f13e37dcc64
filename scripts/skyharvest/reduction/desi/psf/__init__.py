"""The point-spread function of a camera: its model, its file, how it is fitted, averaged and shifted."""
