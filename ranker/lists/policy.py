"""The rules of a list, as a short ordered list of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import polars as pl

from features.errors import ConfigError
from ranker.lists.cap import Cap
from ranker.lists.eligible import Filter
from ranker.lists.explore import Explore
from ranker.lists.fingerprint import fingerprint
from ranker.lists.new_items import NewItems
from ranker.lists.quota import Quota
from ranker.lists.reorder import Reorder
from ranker.lists.step import Step


class Policy:
    """What becomes of scored candidates on their way to a list of exactly k.

    Filters, caps and quotas are rules: they hold for the whole list, for what exploration puts
    there and for what fills it up, wherever in the policy they stand. ``MMR``, ``DPP`` and
    ``Calibrate`` choose an order, one after another, each from the order before it and within the
    rules. ``Explore`` comes last. What the policy leaves open is filled up by popularity.

    If the rules contradict the wish for k items, they win: filters over caps, caps over quotas,
    quotas over the length. A list is shorter than k only if no item of the catalogue may be added
    to it.

    Parameters
    ----------
    steps : sequence of Step

    Raises
    ------
    ConfigError
        If there are no steps, one is none, or they contradict each other.

    Examples
    --------
    >>> from ranker.lists import MMR, Cap, FilterSeen, Policy
    >>> policy = Policy([FilterSeen(within="7d"), Cap("brand", 2), MMR("als", diversity=0.3)])
    >>> print(policy)
    FilterSeen(within='7d'), Cap('brand', 2), MMR('als')
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        if isinstance(steps, Step) or not isinstance(steps, Sequence):
            raise ConfigError(f"Policy: {steps!r} is no list of steps; write Policy([step, ...])")
        self.steps: tuple[Step, ...] = tuple(steps)
        if not self.steps:
            raise ConfigError("Policy: there are no steps; for plain lists leave policy out")
        for step in self.steps:
            if not isinstance(step, Filter | Cap | Quota | NewItems | Reorder | Explore):
                raise ConfigError(
                    f"Policy: {step!r} is no step; expected FilterSeen, FilterAvailable, "
                    f"FilterAllowed, FilterDenied, FilterWhere, Cap, Quota, NewItems, MMR, DPP, "
                    f"Calibrate or Explore, as objects"
                )
        if any(isinstance(step, Explore) for step in self.steps[:-1]):
            raise ConfigError(
                "Policy: Explore is the last step, and there is one of it: steps behind it would "
                "change what its propensities are of"
            )
        self._check_quotas_against_caps()

    def __str__(self) -> str:
        return ", ".join(map(str, self.steps))

    def __repr__(self) -> str:
        return f"Policy([{self}])"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the steps and all their parameters, 64 hexadecimal digits."""
        return fingerprint(self.steps)

    def prefixes(self) -> Iterator[Policy]:
        """The first step, the first two, and so on."""
        for n in range(1, len(self.steps) + 1):
            yield Policy(self.steps[:n])

    def check_length(self, k: int) -> None:
        """Make sure that lists of k items have room for what quotas and exploration ask for.

        Raises
        ------
        ConfigError
            With what each asks for.
        """
        asked = {str(step): step.n_places for step in self.steps if step.n_places}
        if sum(asked.values()) > k:
            told = ", ".join(f"{step} {n}" for step, n in asked.items())
            raise ConfigError(
                f"the policy asks for {sum(asked.values())} places of a list of k={k}: {told}; "
                f"raise k or ask for fewer"
            )

    def _check_quotas_against_caps(self) -> None:
        caps = [step for step in self.steps if isinstance(step, Cap)]
        for quota in self.steps:
            if not isinstance(quota, Quota) or not isinstance(quota.at_least, Mapping):
                continue
            for cap in caps:
                if cap.of is not quota.of and not _same_column(cap.of, quota.of):
                    continue
                for value, n in quota.at_least.items():
                    most = _allowed(cap, value)
                    if most is not None and n > most:
                        raise ConfigError(
                            f"{quota} asks for {n} of {value!r}, and {cap} allows {most}; change "
                            f"one of them"
                        )


def _allowed(cap: Cap, value: str | int) -> int | None:
    if not isinstance(cap.at_most, Mapping):
        return cap.at_most
    # Values are told apart by their text, as the codes are that both are bound to.
    return {str(one): n for one, n in cap.at_most.items()}.get(str(value))


def _same_column(a: str | pl.Expr, b: str | pl.Expr) -> bool:
    return isinstance(a, str) and isinstance(b, str) and a == b
