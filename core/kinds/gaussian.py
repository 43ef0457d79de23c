"""Job kind `gaussian`: a follow-up study. It is only its children: it takes no slot."""

from __future__ import annotations

from core.cards import JobKind
from core.followups import gaussian
from sieve.specs import GaussianSpec

ENTRY = JobKind(
    name="gaussian",
    summary="two Gaussians: maximum likelihood and its robust form, by gradient descent",
    spec=GaussianSpec,
    slot="none",
    check=gaussian.check,
    expand=gaussian.expand,
    conclude=gaussian.conclude,
)
