"""One file a drill; each holds `DRILL`."""
