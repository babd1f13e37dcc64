"""What pages of quality share: the site, its templates, styles and figures, words, and data of series."""
