"""Job kind `not_real`: a follow-up study. It is only its children: it takes no slot."""

from __future__ import annotations

from core.cards import JobKind
from core.followups import not_real
from sieve.specs import NotRealSpec

ENTRY = JobKind(
    name="not_real",
    summary="models trained on D_R under stronger attacks; D_NR where no labels are learnt",
    spec=NotRealSpec,
    slot="none",
    check=not_real.check,
    expand=not_real.expand,
    conclude=not_real.conclude,
)
