"""What is asked of a model about one block of images, as one flag an image.

The plain fp32 model decides every flag. Attacks search with its frozen view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.attack import Attack
from core.cards import ATTACKS
from core.ensembles import members
from core.frozen import FrozenModel
from core.images import Images
from core.losses import cross_entropy
from core.models import Classifier
from core.pgd import gradient
from core.registry import parse_options
from core.seeding import generator
from core.threat import NORMS, Ball
from sieve.specs import AttackRef, Norm, Threat

Flags = dict[str, Tensor]
"""By name, bool [b]; `label` and `read` int64."""


@dataclass(frozen=True)
class Try:
    """One try of one attack within one ball, in the order in which they are made."""

    norm: Norm
    epsilon: float
    label: str
    """The attack's."""
    attack: Attack
    indices: tuple[int, int, int]
    """Number of the epsilon, the attack and the try; of the random draws."""
    after: str | None
    """Name of the flags that the try before left; None of the first within a norm."""

    @property
    def name(self) -> str:
        """Of the flags that it leaves, which those of the same attack's next try replace."""
        return f"robust/{self.norm}/{self.epsilon:g}/{self.label}"


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
        """`label`, and `read`: the class that the model sees, both int64. `standard`: right. `shifted`: reads
        (y + 1) mod C. `zero_gradient`: the cross-entropy's gradient is 0."""
        read = self.read(x)
        slope = gradient(lambda z: cross_entropy(self.view.logits(z), y), x)
        return {
            "label": y,
            "read": read,
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
        """`robust/<norm>/<epsilon>/<attack>`: still right after every try of this attack and of all before it."""
        flags: Flags = {}
        for one in tries(threat, attacks):
            flags[one.name] = self.tried(x, y, one, flags.get(one.after or ""), place)
        return flags

    def tried(self, x: Tensor, y: Tensor, one: Try, whole: Tensor | None, place: Place) -> Tensor:
        """Which images are still right after this try and all before it, bool [b].

        An image is attacked until it is misread. It stays broken for the tries that follow, and at every larger
        epsilon, whose ball contains what broke it; a misread image is broken from the start.

        Args:
            whole: what the try before left, bool [b]; None where this is the first.
        """
        left = (self.read(x) == y if whole is None else whole).nonzero().squeeze(1)
        if len(left):
            ball = Ball(NORMS[one.norm], x[left], one.epsilon)
            draws = generator(self.seed, f"{one.norm} attack", *place, *one.indices, device=x.device)
            z = one.attack.perturb(self.view, y[left], ball, one.indices[-1], draws)
            left = left[self.read(z) == y[left]]
        return torch.zeros(len(x), dtype=torch.bool, device=x.device).index_fill_(0, left, True)

    def reading(self, images: Images, block: slice) -> Flags:
        """`stored`: reads the stored label. `original`: reads the original one. `changed`: they are not the same."""
        labels = images.labels[block]
        original = images.columns.get("original_label", images.labels)[block]
        read = self.read(images.batch(block))
        return {"stored": read == labels, "original": read == original, "changed": labels != original}


def build_attacks(refs: Sequence[AttackRef]) -> dict[str, Attack]:
    """The attacks by what reports call them, an ensemble's one by one; a label that comes again is numbered."""
    attacks: dict[str, Attack] = {}
    for ref in members(refs):
        entry = ATTACKS.get(ref.name)
        assert entry.build is not None
        attack = entry.build(parse_options(entry.options, ref.options))
        same = sum(label.partition(" #")[0] == attack.label for label in attacks)
        attacks[f"{attack.label} #{same + 1}" if same else attack.label] = attack
    return attacks


def tries(threat: Threat, attacks: Mapping[str, Attack]) -> Iterator[Try]:
    """Every try within a norm: epsilon by epsilon, attack by attack."""
    after = None
    for size, epsilon in enumerate(sorted(threat.epsilons)):
        for order, (label, attack) in enumerate(attacks.items()):
            for restart in range(attack.restarts):
                one = Try(threat.norm, epsilon, label, attack, (size, order, restart), after)
                after = one.name
                yield one
