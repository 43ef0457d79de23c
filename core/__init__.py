"""The science: datasets, architectures, attacks, training, synthesis, evaluation, studies.

No database, no HTTP, no environment variables. Modules that the server needs for planning (registry, planning,
references, kinds, studies, errors) never import torch.
"""
