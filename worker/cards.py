"""The GPUs of this host as their driver sees them: memory, utilisation, temperature, energy, and who holds memory.

Asked through NVML, which starts no CUDA: a worker may look as often as it likes and takes no memory on any card.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pynvml

T = TypeVar("T")

MIB = 1 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """A process that holds memory of a card."""

    pid: int
    name: str
    """Base name of its program; empty where the driver may not say."""
    bytes: int | None


@dataclass(frozen=True)
class Card:
    """A GPU at one moment. What a card does not tell is None."""

    uuid: str
    name: str
    total: int
    """Memory in bytes."""
    used: int
    """Of it, held by processes, in bytes; what the driver keeps for itself is not counted."""
    utilisation: int | None
    """Per cent of the last second or less in which something ran."""
    celsius: int | None
    watts: float | None
    holders: tuple[Holder, ...]
    """Empty where the driver does not tell, as in most containers."""


class Cards(Protocol):
    """The GPUs of a host."""

    def look(self) -> dict[str, Card]:
        """By uuid, in the order of the PCI bus. A card that no longer answers is missing."""

    def joules(self, uuid: str) -> float | None:
        """Energy that a card has used since its driver was loaded."""


class NoCards:
    """A host without an NVIDIA driver."""

    def look(self) -> dict[str, Card]:
        """None."""
        return {}

    def joules(self, uuid: str) -> None:
        """Unknown."""


class NvmlCards:
    """What NVML knows."""

    def __init__(self) -> None:
        """Raises `pynvml.NVMLError` where there is no driver."""
        pynvml.nvmlInit()

    def look(self) -> dict[str, Card]:
        """A few milliseconds a card. A card that is lost, such as one that fell off the bus, is missing."""
        found = {}
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                card = _card(pynvml.nvmlDeviceGetHandleByIndex(index))
            except pynvml.NVMLError as error:
                _log.warning("GPU %d does not answer: %s", index, error)
            else:
                found[card.uuid] = card
        return found

    def joules(self, uuid: str) -> float | None:
        """None where the card does not tell."""
        millijoules = _told(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByUUID(uuid)))
        return None if millijoules is None else millijoules / 1000


def find_cards() -> Cards:
    """The cards of this host."""
    try:
        return NvmlCards()
    except pynvml.NVMLError as error:
        _log.info("no NVIDIA driver: %s", error)
        return NoCards()


def usable(cards: Mapping[str, Card], environment: Mapping[str, str] = os.environ) -> list[str]:
    """Uuids of the cards that `CUDA_VISIBLE_DEVICES` leaves to this process, in its order; all where it is not set.

    Numbers count along the PCI bus. As CUDA does, it ends at the first entry that names no card.
    """
    uuids = list(cards)
    allowed = environment.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return uuids
    chosen: list[str] = []
    for entry in (part.strip() for part in allowed.split(",")):
        if entry.isdigit():
            named = uuids[int(entry) : int(entry) + 1]
        else:
            named = [uuid for uuid in uuids if entry and uuid.startswith(entry)]
        if len(named) != 1:
            break
        chosen += named
    return chosen


def in_the_way(card: Card, foreign_mib: int) -> str | None:
    """Why a card on which none of ours runs is not free: others hold more than `foreign_mib` of its memory. None if it
    is."""
    if card.used <= foreign_mib * MIB:
        return None
    who = ", ".join(f"{holder.name or 'a program'} (process {holder.pid})" for holder in card.holders[:3])
    more = f" and {len(card.holders) - 3} more" if len(card.holders) > 3 else ""
    held = f"{card.used / (1 << 30):.1f} of {card.total / (1 << 30):.1f} GiB of its memory"
    return f"others hold {held}: {who}{more}" if who else f"others hold {held}"


def _card(handle: object) -> Card:
    memory = _memory(handle)
    milliwatts = _told(lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
    running = _told(lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
    return Card(
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        total=memory.total,
        used=memory.used,
        utilisation=_told(lambda: int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
        celsius=_told(lambda: int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))),
        watts=None if milliwatts is None else milliwatts / 1000,
        holders=tuple(Holder(one.pid, _program(one.pid), one.usedGpuMemory) for one in running),
    )


def _memory(handle: object) -> Any:
    try:
        return pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    except pynvml.NVMLError_FunctionNotFound:  # a driver older than 510: what it keeps for itself counts as used
        return pynvml.nvmlDeviceGetMemoryInfo(handle)


def _program(pid: int) -> str:
    name = _told(lambda: pynvml.nvmlSystemGetProcessName(pid))
    return os.path.basename(_text(name)) if name else ""


def _told(ask: Callable[[], T]) -> T | None:
    """The answer, or None where this card or this driver does not tell."""
    try:
        return ask()
    except pynvml.NVMLError:
        return None


def _text(answer: str | bytes) -> str:
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer
