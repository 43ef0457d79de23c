"""Routines of the job kinds beside: they import torch, as nothing else here does."""
