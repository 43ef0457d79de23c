"""Job kind `sign_flips`: a follow-up study. It is only its children: it takes no slot."""

from __future__ import annotations

from core.cards import JobKind
from core.followups import sign_flips
from sieve.specs import SignFlipsSpec

ENTRY = JobKind(
    name="sign_flips",
    summary="each model's accuracy against the size of an attack and of noise",
    spec=SignFlipsSpec,
    slot="none",
    check=sign_flips.check,
    expand=sign_flips.expand,
    conclude=sign_flips.conclude,
)
