"""Job kind `transfer`: a follow-up study. It is only its children: it takes no slot."""

from __future__ import annotations

from core.cards import JobKind
from core.followups import transfer
from sieve.specs import TransferSpec

ENTRY = JobKind(
    name="transfer",
    summary="do networks that a model's adversarial examples fool learn from its D_det?",
    spec=TransferSpec,
    slot="none",
    check=transfer.check,
    expand=transfer.expand,
    conclude=transfer.conclude,
)
