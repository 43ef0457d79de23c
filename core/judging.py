"""What is asked of a model about one block of images, as one flag an image.

The plain fp32 model decides every flag. Attacks search with its frozen view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.attack import Attack
from core.cards import ATTACKS
from core.frozen import FrozenModel
from core.images import Images
from core.losses import cross_entropy
from core.models import Classifier
from core.pgd import gradient
from core.registry import parse_options
from core.seeding import generator
from core.threat import NORMS, Ball
from sieve.specs import AttackRef, Threat

Flags = dict[str, Tensor]
"""By name, bool [b]."""

Place = tuple[int, ...]
"""Number of a block; of a part of it that does not begin where the block does, also by how many images later."""


@dataclass(frozen=True)
class Judge:
    """Asks about b images x [b, C, H, W] in [0, 1] with labels y int64 [b].

    Draws are functions of (seed, purpose, place).
    """

    model: Classifier
    """Decides. In evaluation mode."""
    view: FrozenModel
    """Searches."""
    seed: int

    @torch.no_grad()
    def read(self, x: Tensor) -> Tensor:
        """The classes that the model sees, int64 [b]."""
        return self.model(x).argmax(1)  # type: ignore[no-any-return]

    def clean(self, x: Tensor, y: Tensor) -> Flags:
        """`standard`: right. `shifted`: reads (y + 1) mod C. `zero_gradient`: the cross-entropy's gradient is 0."""
        read = self.read(x)
        slope = gradient(lambda z: cross_entropy(self.view.logits(z), y), x)
        return {
            "standard": read == y,
            "shifted": read == (y + 1) % self.model.head.out_features,
            "zero_gradient": (slope == 0).flatten(1).all(1),
        }

    def noisy(self, x: Tensor, y: Tensor, sigmas: Sequence[float], place: Place) -> Flags:
        """`noise/<sigma>`: right after one draw of Gaussian noise, clipped to [0, 1]."""
        flags = {}
        for level, sigma in enumerate(sigmas):
            draws = generator(self.seed, "noise", *place, level, device=x.device)
            noise = torch.empty_like(x).normal_(generator=draws)
            flags[f"noise/{sigma:g}"] = self.read((x + sigma * noise).clamp_(0, 1)) == y
        return flags

    def attacked(self, x: Tensor, y: Tensor, threat: Threat, attacks: Mapping[str, Attack], place: Place) -> Flags:
        """`robust/<norm>/<epsilon>/<attack>`: still right after every try of this attack and of all before it.

        An image is attacked until it is misread. It stays broken for the attacks that follow, and at every larger
        epsilon, whose ball contains what broke it; a misread image is broken from the start.
        """
        flags = {}
        whole = (self.read(x) == y).nonzero().squeeze(1)  # positions of the images that still hold
        for size, epsilon in enumerate(sorted(threat.epsilons)):
            for order, (label, attack) in enumerate(attacks.items()):
                for restart in range(attack.restarts):
                    if not len(whole):
                        break
                    ball = Ball(NORMS[threat.norm], x[whole], epsilon)
                    purpose = f"{threat.norm} attack"
                    draws = generator(self.seed, purpose, *place, size, order, restart, device=x.device)
                    z = attack.perturb(self.view, y[whole], ball, restart, draws)
                    whole = whole[self.read(z) == y[whole]]
                flags[f"robust/{threat.norm}/{epsilon:g}/{label}"] = torch.zeros(
                    len(x), dtype=torch.bool, device=x.device
                ).index_fill_(0, whole, True)
        return flags

    def reading(self, images: Images, block: slice) -> Flags:
        """`stored`: reads the stored label. `changed`: the stored label is not the original one."""
        labels = images.labels[block]
        original = images.columns.get("original_label", images.labels)[block]
        return {"stored": self.read(images.batch(block)) == labels, "changed": labels != original}


def build_attacks(refs: Sequence[AttackRef]) -> dict[str, Attack]:
    """The attacks by what reports call them; a label that comes again is numbered."""
    attacks: dict[str, Attack] = {}
    for ref in refs:
        entry = ATTACKS.get(ref.name)
        attack = entry.build(parse_options(entry.options, ref.options))
        same = sum(label.partition(" #")[0] == attack.label for label in attacks)
        attacks[f"{attack.label} #{same + 1}" if same else attack.label] = attack
    return attacks
