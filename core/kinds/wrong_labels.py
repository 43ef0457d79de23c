"""Job kind `wrong_labels`: a follow-up study. It is only its children: it takes no slot."""

from __future__ import annotations

from core.cards import JobKind
from core.followups import wrong_labels
from sieve.specs import WrongLabelsSpec

ENTRY = JobKind(
    name="wrong_labels",
    summary="does a model learn from another one's mistakes alone?",
    spec=WrongLabelsSpec,
    slot="none",
    check=wrong_labels.check,
    expand=wrong_labels.expand,
    conclude=wrong_labels.conclude,
)
