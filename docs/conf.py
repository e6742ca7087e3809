"""Sphinx makes a site of the Markdown pages, which read well in a repository too."""

from automigrate_ext import __version__

project = "automigrate_ext"
author = "automigrate_ext contributors"
release = __version__

extensions = ["myst_parser"]
# Anchors as GitHub makes them, so that one link serves in both places.
myst_heading_anchors = 4
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = f"automigrate_ext {release}"
