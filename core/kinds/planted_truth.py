"""Job kind `planted_truth`: a follow-up study. It is only its children: it takes no slot."""

from __future__ import annotations

from core.cards import JobKind
from core.followups import planted_truth
from sieve.specs import PlantedTruthSpec

ENTRY = JobKind(
    name="planted_truth",
    summary="how much of each planted feature datasets and models keep",
    spec=PlantedTruthSpec,
    slot="none",
    check=planted_truth.check,
    expand=planted_truth.expand,
    conclude=planted_truth.conclude,
)
