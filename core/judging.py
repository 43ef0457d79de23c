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
from core.corruptions import corrupted
from core.ensembles import members
from core.frozen import FrozenModel
from core.images import Images
from core.losses import cross_entropy, margin
from core.models import Classifier
from core.pgd import gradient
from core.registry import parse_options
from core.seeding import generator
from core.threat import NORMS, TOLERANCE, Ball
from sieve.specs import AttackRef, Norm, Threat

KEPT = "kept/"
"""What the names begin with of what is no flag: images, logits, lengths, [b, ...]."""
Flags = dict[str, Tensor]
"""By name, bool [b]; `label` and `read` int64; and what is kept."""


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
    def logits(self, x: Tensor) -> Tensor:
        """[b, classes]."""
        return self.model(x)  # type: ignore[no-any-return]

    def read(self, x: Tensor) -> Tensor:
        """The classes that the model sees, int64 [b]."""
        return self.logits(x).argmax(1)

    def clean(self, x: Tensor, y: Tensor) -> Flags:
        """`label`, and `read`: the class that the model sees, both int64. `standard`: right. `shifted`: reads
        (y + 1) mod C. `zero_gradient`: the cross-entropy's gradient is 0."""
        logits = self.logits(x)
        read = logits.argmax(1)
        slope = gradient(lambda z: cross_entropy(self.view.logits(z), y), x)
        return {
            "label": y,
            "read": read,
            "standard": read == y,
            "shifted": read == (y + 1) % self.model.head.out_features,
            "zero_gradient": (slope == 0).flatten(1).all(1),
            KEPT + "logits/clean": logits,
        }

    def noisy(self, x: Tensor, y: Tensor, sigmas: Sequence[float], place: Place) -> Flags:
        """`noise/<sigma>`: right after one draw of Gaussian noise, clipped to [0, 1]."""
        flags = {}
        for level, sigma in enumerate(sigmas):
            draws = generator(self.seed, "noise", *place, level, device=x.device)
            noise = torch.empty_like(x).normal_(generator=draws)
            logits = self.logits((x + sigma * noise).clamp_(0, 1))
            flags[f"noise/{sigma:g}"] = logits.argmax(1) == y
            flags[KEPT + f"logits/noise/{sigma:g}"] = logits
        return flags

    def damaged(self, x: Tensor, y: Tensor, names: Sequence[str], severities: Sequence[int], place: Place) -> Flags:
        """`corruptions/<name>/<severity>`: right after one draw of that; see `core.corruptions`."""
        flags = {}
        for name in names:
            for severity in severities:
                draws = generator(self.seed, f"{name} corruption", *place, severity, device=x.device)
                logits = self.logits(corrupted(name, severity, x, draws))
                flags[f"corruptions/{name}/{severity}"] = logits.argmax(1) == y
                flags[KEPT + f"logits/corruptions/{name}/{severity}"] = logits
        return flags

    def attacked(self, x: Tensor, y: Tensor, threat: Threat, attacks: Mapping[str, Attack], place: Place) -> Flags:
        """`robust/<norm>/<epsilon>/<attack>`: still right after every try of this attack and of all before it."""
        hand: Flags = {}
        for one in tries(threat, attacks):
            hand |= self.tried(x, y, one, hand, place)
        return {name: held for name, held in within(hand, y).items() if not name.startswith(KEPT)}

    def tried(self, x: Tensor, y: Tensor, one: Try, hand: Flags, place: Place) -> Flags:
        """What is left after this try and all before it.

        An image is attacked until it is misread. It stays broken for the tries that follow, and at every larger
        epsilon, whose ball contains what broke it; a misread image is broken from the start.

        Args:
            hand: what the tries before left, by name.

        Returns:
            The try's flags, bool [b], which images are still right; and of each image what is kept within this norm,
            with its logits and its length: what broke it, else the image that came nearest to that.
        """
        names = [KEPT + name for name in (f"x_adv/{one.norm}", f"logits/{one.norm}", f"norm/{one.norm}")]
        if one.after is None:
            logits = self.logits(x)
            whole = logits.argmax(1) == y
            kept, length = x.clone(), torch.zeros(len(x), dtype=torch.float64, device=x.device)
        else:
            whole = hand[one.after]
            kept, logits, length = (hand[name].clone() for name in names)
        left = whole.nonzero().squeeze(1)
        if len(left):
            ball = Ball(NORMS[one.norm], x[left], one.epsilon)
            draws = generator(self.seed, f"{one.norm} attack", *place, *one.indices, device=x.device)
            z = ball.settled(one.attack.perturb(self.view, y[left], ball, one.indices[-1], draws))
            found = self.logits(z)
            nearer = margin(found, y[left]) > margin(logits[left], y[left])
            kept[left[nearer]], logits[left[nearer]] = z[nearer], found[nearer]
            length[left[nearer]] = ball.among(nearer).length(z[nearer])
            left = left[found.argmax(1) == y[left]]
        still = torch.zeros(len(x), dtype=torch.bool, device=x.device).index_fill_(0, left, True)
        return {one.name: still, **dict(zip(names, (kept, logits, length), strict=True))}

    def reading(self, images: Images, block: slice) -> Flags:
        """`stored`: reads the stored label. `original`: reads the original one. `changed`: they are not the same."""
        labels = images.labels[block]
        original = images.columns.get("original_label", images.labels)[block]
        read = self.read(images.batch(block))
        return {"stored": read == labels, "original": read == original, "changed": labels != original}


def within(hand: Flags, y: Tensor) -> Flags:
    """The flags of a block, each with what an attack at a larger epsilon found nearer than it had to.

    So a flag says whether any image that was found within epsilon breaks it, whatever the attack searched.
    """
    found = dict(hand)
    names = [name for name in hand if name.startswith("robust/")]
    last = {name.rpartition("/")[0]: name for name in names}  # of the attacks within one epsilon
    for name in names:
        ball = name.rpartition("/")[0]
        _, norm, epsilon = ball.split("/")
        broken = hand[KEPT + f"logits/{norm}"].argmax(1) != y
        near = hand[KEPT + f"norm/{norm}"] <= float(epsilon) * (1 + TOLERANCE)
        found[name] = hand[name] & ~(hand[last[ball]] & broken & near)
    return found


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
