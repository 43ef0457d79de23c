"""Presets of the follow-up studies, by kind and name: what the main study's presets hold, and what each adds."""

from __future__ import annotations

from typing import Any

from sieve.specs.presets import PRESETS

Values = dict[str, Any]

_COMMON = ("dataset", "architecture", "training")

_MAIN: dict[str, Values] = {
    "digits": PRESETS["digits"],
    "cifar10": PRESETS["cifar10"],
    "planted": PRESETS["planted"]
    | {
        "dataset": {"name": "planted", "options": {"train_images": 2000}},
        "training": PRESETS["planted"]["training"] | {"epochs": 16},
    },
}
"""The main study's settings. Follow-ups train many models: on half of the planted images, and not for as long."""


def _of_main(preset: str, *fields: str, **more: Any) -> Values:
    """Some fields of a preset of the main study, and further ones."""
    return {field: _MAIN[preset][field] for field in (*_COMMON, *fields)} | more


def _target_training(preset: str) -> Any:
    main = _MAIN[preset]
    return main.get("deterministic_target_training", main["training"])


def _five(preset: str) -> list[Values]:
    """Five clearly different networks, the main study's among them."""
    if preset == "cifar10":
        others = ["vgg", "densenet", "mobilenet", "mixer"]
        return [_MAIN[preset]["architecture"], *({"name": name, "options": {}} for name in others)]
    return [
        _MAIN[preset]["architecture"],
        {"name": "vgg", "options": {"stages": [1, 1, 1], "width": 16}},
        {"name": "mobilenet", "options": {}},
        {"name": "densenet", "options": {"layers": [2, 2, 2], "growth": 8}},
        {"name": "mixer", "options": {"patch": 2 if preset == "digits" else 4, "width": 48, "depth": 3}},
    ]


_JUST_BUGS: dict[str, Values] = {
    "digits": {"norm": "l2", "epsilon": 1.25},
    "planted": {"norm": "l2", "epsilon": 0.25},
    "cifar10": {"norm": "linf", "epsilon": 8 / 255},
}

FOLLOWUP_PRESETS: dict[str, dict[str, Values]] = {
    "transfer": {
        name: _of_main(name, "deterministic_target", target_training=_target_training(name), architectures=_five(name))
        for name in _MAIN
    },
    "leakage": {
        name: _of_main(
            name,
            "adversarial_training",
            "random_target",
            "deterministic_target",
            linear=linear,
            target_training=_target_training(name),
        )
        for name, linear in (
            ("digits", {"epsilon": 0.25}),
            ("planted", {"epsilon": 0.25}),
            ("cifar10", {"epsilon": 0.25}),
        )
    },
    "just_bugs": {
        name: _of_main(name, target_training=_target_training(name), construction=_JUST_BUGS[name], trainings=2)
        for name in _MAIN
    },
    "wrong_labels": {
        name: _of_main(name, source_training=_MAIN[name]["training"] | source, trainings=2)
        for name, source in (
            ("digits", {"epochs": 2, "learning_rate": 0.02, "schedule": {"name": "constant"}, "select": "last"}),
            ("planted", {"epochs": 1, "learning_rate": 0.01, "schedule": {"name": "constant"}, "select": "last"}),
        )
    },
    "planted_truth": {
        "planted": _of_main(
            "planted", "adversarial_training", "robust", "random_target", target_training=_target_training("planted")
        ),
    },
    "not_real": {
        name: _of_main(name, "adversarial_training", "robust", pretraining=pretraining)
        for name, pretraining in (("digits", {"epochs": 60}), ("planted", {"epochs": 30}))
    },
    "sign_flips": {
        name: _of_main(
            name,
            "adversarial_training",
            "robust",
            "random_target",
            epsilons=epsilons,
            noise=noise,
            target_training=_target_training(name),
        )
        for name, epsilons, noise in (
            ("digits", [0.1, 0.25, 0.5, 1.0], [0.03, 0.06, 0.12, 0.25]),
            ("planted", [0.05, 0.1, 0.25, 0.5], [0.01, 0.02, 0.05, 0.1]),
        )
    },
    "gaussian": {
        "paper": {},
        "three": {
            "mean": [1.0, 2.0, -1.0],
            "covariances": [
                [[1.0, 0.5, 0.2], [0.5, 2.0, -0.3], [0.2, -0.3, 0.7]],
                [[4.0, 1.9, 0.0], [1.9, 1.0, 0.0], [0.0, 0.0, 0.1]],
                [[0.3, -0.1, 0.05], [-0.1, 0.2, 0.1], [0.05, 0.1, 0.5]],
            ],
        },
    },
}

FOLLOWUP_SUMMARIES: dict[str, str] = {
    "digits": "scikit-learn's 8x8 handwritten digits",
    "planted": "a dataset whose robust and non-robust features were planted in it",
    "cifar10": "CIFAR-10 with a ResNet-18; wants a GPU",
    "paper": "two dimensions, drawn as in the paper's figure 4",
    "three": "three dimensions, three covariances",
}
