"""Job kind `just_bugs`: a follow-up study. It is only its children: it takes no slot."""

from __future__ import annotations

from core.cards import JobKind
from core.followups import just_bugs
from sieve.specs import JustBugsSpec

ENTRY = JobKind(
    name="just_bugs",
    summary="are there perturbations that do not transfer, with nothing in them to be learnt?",
    spec=JustBugsSpec,
    slot="none",
    check=just_bugs.check,
    expand=just_bugs.expand,
    conclude=just_bugs.conclude,
)
