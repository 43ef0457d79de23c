"""Steps that stay on the device: nothing in PGD's loop waits for a value, so that a GPU need not wait for the CPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.descent import Adversary, Descent
from core.frozen import FrozenModel
from core.losses import cross_entropy
from core.models import Classifier, new_classifier
from core.pgd import PGDAttack, pgd
from core.repeating import RECORDED_FROM, Recorded, repeated
from core.sgd import SGD
from core.threat import NORMS, Ball
from sieve.specs import PGD, ArchitectureRef, Norm
from sieve.specs.base import Precision


def network() -> Classifier:
    resnet = ArchitectureRef(name="resnet", options={"depth": 10, "width": 8})
    return new_classifier(resnet, (3, 16, 16), 10, mean=[0.4] * 3, std=[0.2] * 3, seed=0).eval()


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_no_step_looks_at_a_value(norm: Norm, loss: str) -> None:
    """A meta tensor has no values: whoever asks for one fails. The view is not fused there."""
    view = FrozenModel(network().to("meta"), "fast")
    x, y = torch.empty(8, 3, 16, 16, device="meta"), torch.empty(8, dtype=torch.int64, device="meta")
    attack = PGDAttack(loss, steps=3, relative_step=0.1)  # type: ignore[arg-type]
    assert attack.perturb(view, y, Ball(NORMS[norm], x, 0.5), 0, torch.Generator()).shape == x.shape


def test_steps_are_done_in_turn() -> None:
    def doubled_and_one_more(z: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * z + 1, steps + 1

    z, steps = repeated(doubled_and_one_more, (torch.zeros(3), torch.tensor(0)), 5)
    assert z.tolist() == [31.0] * 3
    assert steps == 5
    assert repeated(doubled_and_one_more, (z, steps), 0) == (z, steps)


def test_lengths_that_change_are_taken_in_their_order() -> None:
    """Uphill of the sum of pixels, steps of linf: each pixel rises by the lengths of its steps."""
    x = torch.full((2, 1, 4, 4), 0.25)
    lengths = [0.125, 0.125, 0.0625, 0.125]
    risen = pgd(lambda z: (3 * z).flatten(1).sum(1), Ball(NORMS["linf"], x), x, lengths)
    assert torch.equal(risen, x + sum(lengths))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="recording needs a GPU")
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_what_is_replayed_is_what_is_done_step_by_step(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    view = FrozenModel(network().cuda(), precision)
    x = torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(0)).cuda()
    y = torch.arange(16, device="cuda") % 10

    def attacked() -> Tensor:
        lengths = [0.05] * (RECORDED_FROM + 1)
        return pgd(lambda z: cross_entropy(view.logits(z), y), Ball(NORMS["l2"], x, 0.5), x, lengths)

    replayed = attacked()
    monkeypatch.setattr("core.repeating.RECORDED_FROM", 1000)
    torch.testing.assert_close(replayed, attacked(), rtol=0, atol=1e-3 if precision == "exact" else 0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="recording needs a GPU")
@pytest.mark.parametrize("random_start", [False, True])
def test_a_training_that_is_replayed_goes_where_it_would_go(
    random_start: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losses() -> tuple[list[float], int]:
        model = network().cuda().train()
        optimiser = SGD(model, momentum=0.9, weight_decay=0.0)
        adversary = Adversary(PGD(epsilon=0.5, steps=3, random_start=random_start), model, "exact")
        descent = Descent(model, optimiser, adversary)
        draws = torch.Generator("cuda").manual_seed(0)
        found = []
        for number in range(6):
            x = torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(number)).cuda()
            descent.begin(x, torch.arange(32, device="cuda") % 10, draws)
            gradients, loss = descent.gradients(32 if number < 5 else 16)
            found.append(loss.item())
            optimiser.step(gradients, 0.01)
        batches = next(buffer for name, buffer in model.named_buffers() if name.endswith("num_batches_tracked"))
        return found, int(batches)

    replayed = losses()
    monkeypatch.setattr("core.repeating._records", lambda _: False)
    step_by_step = losses()
    assert replayed[0] == pytest.approx(step_by_step[0], rel=1e-3)
    assert replayed[1] == step_by_step[1] == 7


def test_off_a_gpu_nothing_is_recorded() -> None:
    seen = []

    def work(x: Tensor) -> tuple[Tensor]:
        seen.append(x)
        return (2 * x,)

    recorded = Recorded(work)
    for value in (1.0, 2.0, 3.0):
        assert recorded(torch.tensor(value))[0] == 2 * value
    assert len(seen) == 3
