"""Where jobs run: one file for each kind of place."""
