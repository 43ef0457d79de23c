"""Attacks for evaluations: one entry a file, torch-free at import. The loops they share are in `core.pgd`."""
