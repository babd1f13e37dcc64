"""Sphinx: the documentation as a site. `make docs` builds it into site/, with warnings as errors."""

project = "Skyharvest"
author = "the Skyharvest developers"
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Skyharvest"
exclude_patterns = ["conf.py"]
