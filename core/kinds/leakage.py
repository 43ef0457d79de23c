"""Job kind `leakage`: a follow-up study. It is only its children: it takes no slot."""

from __future__ import annotations

from core.cards import JobKind
from core.followups import leakage
from sieve.specs import LeakageSpec

ENTRY = JobKind(
    name="leakage",
    summary="how much of D_rand and D_det can be learnt from robust features alone?",
    spec=LeakageSpec,
    slot="none",
    check=leakage.check,
    expand=leakage.expand,
    conclude=leakage.conclude,
)
