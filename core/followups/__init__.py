"""The experiments that followed the paper, one a file: the jobs of each, and what it concludes. Torch-free."""
