"""Raw frames: where they are in tar files, what they hold, which are used; and where IFUs and their fibers stand."""
