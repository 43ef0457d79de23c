"""The experiments that followed the paper: each a spec that expands into ordinary jobs and ends in a conclusion."""
