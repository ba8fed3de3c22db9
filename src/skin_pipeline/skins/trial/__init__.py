"""Try a skin before installing it: an interactive page."""
