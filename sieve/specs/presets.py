"""Presets of the study: complete, named settings, each with what it is for.

A preset holds plain values, as a user would write them; `StudySpec` checks them.
"""

from __future__ import annotations

import difflib
from typing import Any

_DIGITS_TRAINING = {"epochs": 40, "batch_size": 64, "learning_rate": 0.2, "weight_decay": 5e-4}
_DIGITS_TARGET_TRAINING = _DIGITS_TRAINING | {"weight_decay": 2e-3}
_PLANTED_TRAINING = {"epochs": 24, "batch_size": 64, "learning_rate": 0.2, "weight_decay": 5e-4}
_CIFAR_TRAINING = {
    "epochs": 40,
    "batch_size": 128,
    "learning_rate": 0.2,
    "weight_decay": 5e-4,
    "flip": True,
    "crop_padding": 4,
}


def _pgd(epsilon: float) -> dict[str, Any]:
    """The paper's adversary: 7 steps of epsilon/5 in l2."""
    return {"norm": "l2", "epsilon": epsilon, "steps": 7, "relative_step": 0.2}


_SORTS = ("name", "recipe")
"""Fields that say what the others mean: an object of another sort has nothing to inherit."""


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` over `base`: objects of one sort merge key by key; else the new replaces."""
    whole = dict(base)
    for key, value in over.items():
        below = whole.get(key)
        if isinstance(value, str) and isinstance(below, dict) and "name" in below:
            whole[key] = {"name": value}  # a bare name replaces a whole reference
        elif (
            isinstance(value, dict)
            and isinstance(below, dict)
            and all(value.get(field, below.get(field)) == below.get(field) for field in _SORTS)
        ):
            whole[key] = merged(below, value)
        else:
            whole[key] = value
    return whole


PRESETS: dict[str, dict[str, Any]] = {
    "digits": {
        "dataset": {"name": "digits"},
        "architecture": {"name": "convnet", "options": {"widths": [8, 16, 32], "strides": [1, 2, 1]}},
        "training": _DIGITS_TRAINING,
        "random_target_training": _DIGITS_TARGET_TRAINING,
        "deterministic_target_training": _DIGITS_TARGET_TRAINING,
        "adversarial_training": _DIGITS_TRAINING | {"adversary": _pgd(1.0) | {"random_start": True}},
        "robust": {"recipe": "fast", "steps": 80},
        "random_target": {"epsilon": 1.25},
        "deterministic_target": {"epsilon": 1.25},
        "evaluation": {"threats": [{"norm": "l2", "epsilons": [0.25, 0.5, 1.0]}]},
    },
    "planted": {
        "dataset": {"name": "planted"},
        "architecture": {"name": "convnet", "options": {"widths": [16, 32, 32, 64], "strides": [1, 2, 2, 1]}},
        "training": _PLANTED_TRAINING,
        "adversarial_training": _PLANTED_TRAINING | {"epochs": 12, "adversary": _pgd(1.0)},
        "robust": {"recipe": "paper", "steps": 200, "step_size": 0.2, "schedule": "linear"},
        "random_target": {"epsilon": 0.25},
        "deterministic_target": {"epsilon": 0.25},
        "evaluation": {"threats": [{"norm": "l2", "epsilons": [0.1, 0.25, 0.5]}]},
    },
    "cifar10": {
        "dataset": {"name": "cifar10"},
        "architecture": {"name": "resnet", "options": {"depth": 18, "width": 64}},
        "training": _CIFAR_TRAINING,
        "random_target_training": _CIFAR_TRAINING | {"learning_rate": 0.01},
        "deterministic_target_training": _CIFAR_TRAINING | {"learning_rate": 0.1},
        "adversarial_training": _CIFAR_TRAINING | {"adversary": _pgd(0.5)},
        "robust": {"recipe": "paper"},
        "random_target": {"epsilon": 0.5},
        "deterministic_target": {"epsilon": 0.5},
        "evaluation": {"threats": [{"norm": "l2", "epsilons": [0.25, 0.5]}]},
    },
}


def _variant(name: str, changed: dict[str, Any]) -> dict[str, Any]:
    return merged(PRESETS[name], changed)


_DIGITS_LINF = {"norm": "linf", "epsilon": 0.15}
PRESETS |= {
    "digits-linf": _variant(
        "digits",
        {
            "adversarial_training": {"adversary": {"norm": "linf", "epsilon": 0.1}},
            "random_target": _DIGITS_LINF,
            "deterministic_target": _DIGITS_LINF,
            "evaluation": {"threats": [{"norm": "linf", "epsilons": [0.025, 0.05, 0.1]}]},
        },
    ),
    "digits-noise": _variant("digits", {"robust": {"start": "noise"}}),
    "digits-rates": _variant(
        "digits",
        {
            "random_target_learning_rates": [0.05, 0.1, 0.2, 0.4],
            "deterministic_target_learning_rates": [0.05, 0.1, 0.2, 0.4],
        },
    ),
    "digits-sources": _variant("digits", {"sources": 4, "deterministic_target": {"relative_step": 0.1}}),
}

PRESET_SUMMARIES: dict[str, str] = {
    "digits": "scikit-learn's 8x8 handwritten digits: the whole effect in a minute of two CPU cores",
    "planted": "a dataset with one robust and one non-robust feature planted in it, so that each claim can be verified",
    "digits-linf": "digits with every adversary, construction and judge in the linf norm",
    "digits-noise": "digits, D_R and D_NR made from noise instead of from other images",
    "digits-rates": "digits, learning rates for D_rand and D_det chosen on held-out training images",
    "digits-sources": "digits, D_rand and D_det made by four sources in turn for as many gradients: more is learnt",
    "cifar10": "CIFAR-10 with a ResNet-18, the paper's constructions and epsilons; wants a GPU",
}


def with_preset(values: dict[str, Any]) -> dict[str, Any]:
    """Merge `values` over the preset that they name. Objects of one sort merge key by key; else the new replaces.

    Raises:
        ValueError: the preset does not exist.
    """
    name = values.get("preset")
    if name is None:
        return values
    if not isinstance(name, str) or name not in PRESETS:
        near = difflib.get_close_matches(str(name), PRESETS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PRESETS)}"
        raise ValueError(f"there is no preset {name!r}; {hint}")
    return merged(PRESETS[name], values)
