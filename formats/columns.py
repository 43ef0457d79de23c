"""What the columns of constructed datasets mean, in words."""

from __future__ import annotations

_MEANINGS = {
    "source_index": "index of the image x that this one stands for, in the training split that was used",
    "original_label": "the label of x",
    "start_index": "index of the image x' that the construction started from",
    "feature_distance": "||g(z) - g(x)|| / ||g(x)||, g the source model's penultimate features, z this image",
    "norm": "l2 norm of the change, in pixel values",
    "nearer_to_start": "1 where this image is nearer to x' than to x in l2",
    "source_reads_label": "1 where the source model reads the stored label",
    "target": "the class that the perturbation aims at",
    "success": "1 where the source model reads the target",
}


def meaning(column: str) -> str:
    """Of a column; its own name where nothing is known of it."""
    return _MEANINGS.get(column, column)
