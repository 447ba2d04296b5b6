"""One module for each outside thing, and nothing else about it anywhere."""
