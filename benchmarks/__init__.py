"""Measurements, each a command that leaves JSON; `make bench` runs those of `benchmarks.table`."""
