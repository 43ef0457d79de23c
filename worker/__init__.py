"""Runs jobs: slots claim them, children forked from a warm nursery do them, their results are recorded."""
