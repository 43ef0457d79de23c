"""One share of a job's blocks; see `core.harvest`."""

from __future__ import annotations

from core.context import Context, Inputs, Result
from core.evaluation import judged
from core.harvest import Share
from core.images import open_dataset
from core.synthesis import constructed
from sieve.specs import ShardSpec, SynthesizeSpec


def shard(spec: ShardSpec, inputs: Inputs, context: Context) -> Result:
    """Do a share of the whole job's blocks, and leave what they gave as `part.safetensors`."""
    share = Share(spec.index, spec.of)
    if isinstance(spec.job, SynthesizeSpec):
        splits = open_dataset(spec.job.dataset, inputs, context.data_folder)
        return constructed(spec.job, splits, share, inputs, context).left(context)
    return judged(spec.job, share, inputs, context).left(context)
