"""Kinds of job: one entry a file, torch-free at import. The routines are in `core`."""
