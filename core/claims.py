"""Claims that can be tested: the rule that decides one, and the plain sentence that says what came of it.

The rule is fixed before anything is measured, and the same rule is read off a negative control, where it must say no.
One seed decides nothing: its interval speaks of other test images, not of other models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.measure import Measure


@dataclass(frozen=True)
class Rule:
    """When a claim holds."""

    text: str
    """`the whole 95 % interval lies above 10 (chance)`."""
    holds: Callable[[Measure], bool]
    open: Callable[[Measure], bool]
    """Where it does not hold: would more seeds or images decide?"""


@dataclass(frozen=True)
class Control:
    """The same measurement where there is nothing to find."""

    what: str
    measure: Measure


@dataclass(frozen=True)
class Claim:
    """What somebody claims, and what was measured."""

    name: str
    """Short, such as `linear D_rand`."""
    text: str
    rule: Rule
    measure: Measure
    control: Control

    @property
    def held(self) -> bool:
        """Did it hold here?"""
        return _holds(self.rule, self.measure)

    @property
    def control_held(self) -> bool:
        """Did it hold on the control, where it should not?"""
        return _holds(self.rule, self.control.measure)

    def json_values(self) -> dict[str, Any]:
        """As in `report.json`."""
        return {
            "name": self.name,
            "claim": self.text,
            "rule": self.rule.text,
            "held": self.held,
            "decided": self.held or not (self.measure.of_one_seed or self.rule.open(self.measure)),
            "said": _sentence(self.rule, self.measure, ""),
            "measured": self.measure.json_values(),
            "control": {
                "what": self.control.what,
                "held": self.control_held,
                "said": _sentence(self.rule, self.control.measure, "on the control"),
                "measured": self.control.measure.json_values(),
            },
        }


def above(threshold: float, meaning: str) -> Rule:
    """The whole interval lies above a value."""
    return Rule(
        f"it holds where the whole 95 % interval lies above {threshold:g} ({meaning})",
        lambda found: found.low > threshold,
        lambda found: found.high > threshold,
    )


def below(threshold: float, meaning: str) -> Rule:
    """The whole interval lies below a value."""
    return Rule(
        f"it holds where the whole 95 % interval lies below {threshold:g} ({meaning})",
        lambda found: found.high < threshold,
        lambda found: found.low < threshold,
    )


def not_above(threshold: float, meaning: str) -> Rule:
    """There is no evidence that the figure is above a value. With few images or seeds there seldom is."""
    return Rule(
        f"it holds unless the whole 95 % interval lies above {threshold:g} ({meaning}): it says that there is no "
        "evidence, which with few images or seeds is soon said",
        lambda found: found.low <= threshold,
        lambda _: False,
    )


def _holds(rule: Rule, found: Measure) -> bool:
    return rule.holds(found) and not found.of_one_seed


def _sentence(rule: Rule, found: Measure, where: str) -> str:
    figure = f"{found.what} is {found.text()}"
    if _holds(rule, found):
        return f"It held {where or 'here'}: {figure}."
    if found.of_one_seed:
        return f"It is not decided {where or 'here'}: {figure}, of one seed, which decides nothing."
    undecided = ", and its interval does not decide" if rule.open(found) else ""
    return f"It did not hold {where or 'here'}: {figure}{undecided}."
