"""Network families: one entry a file, torch-free at import."""
