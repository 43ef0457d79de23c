"""Built-in datasets: one entry a file, torch-free at import."""
