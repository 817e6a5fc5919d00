"""A policy bound to a snapshot: scored candidates of some users become their lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import BoolArray, Float32Array, Int32Array
from features.candidates import Candidates
from features.errors import ConfigError
from features.history import History
from ranker.lists.cap import Cap
from ranker.lists.caps import Caps
from ranker.lists.chance import user_hashes
from ranker.lists.choose import choose, top_up
from ranker.lists.context import ListContext
from ranker.lists.eligible import BoundFilter, Eligible, Filter
from ranker.lists.explore import BoundExplore, Explore
from ranker.lists.floors import Floors
from ranker.lists.new_items import NewItems
from ranker.lists.policy import Policy
from ranker.lists.pool import Pool
from ranker.lists.quota import Quota
from ranker.lists.reorder import BoundReorder, Reorder
from ranker.lists.topk import Lists


@dataclass(frozen=True)
class BoundPolicy:
    """All that a policy has to look up in a snapshot, looked up once.

    Attributes
    ----------
    policy : Policy
    everybody : bool array [n_items] or None
        What the filters on items alone let through.
    filters : tuple of BoundFilter
        Those that differ by user.
    caps : Caps
    floors : Floors
    reorders : tuple of BoundReorder
    explore : BoundExplore or None
    fill : int32 array [n_items]
    """

    policy: Policy
    everybody: BoolArray | None
    filters: tuple[BoundFilter, ...]
    caps: Caps
    floors: Floors
    reorders: tuple[BoundReorder, ...]
    explore: BoundExplore | None
    fill: Int32Array

    @classmethod
    def of(cls, policy: Policy, context: ListContext) -> BoundPolicy:
        """Look everything up.

        Raises
        ------
        ConfigError, SchemaError
            If the policy does not fit the snapshot: unknown columns, values, sources or events,
            ids of another kind, filters that together let nothing through.
        """
        steps, n_items = policy.steps, context.history.n_items
        filters = [step.bind(context) for step in steps if isinstance(step, Filter)]
        last = steps[-1]
        return cls(
            policy=policy,
            everybody=_for_everybody(policy, filters),
            filters=tuple(one for one in filters if one.for_everybody() is None),
            caps=Caps.beside(n_items, [s.limits(context) for s in steps if isinstance(s, Cap)]),
            floors=Floors.beside(
                n_items,
                [
                    floor
                    for step in steps
                    if isinstance(step, Quota | NewItems)
                    for floor in step.floors(context)
                ],
            ),
            reorders=tuple(step.bind(context) for step in steps if isinstance(step, Reorder)),
            explore=last.bind(context) if isinstance(last, Explore) else None,
            fill=context.fill,
        )

    def lists(
        self,
        candidates: Candidates,
        scores: Float32Array,
        history: History,
        k: int,
        *,
        exclude_seen: bool,
    ) -> Lists:
        """The lists of the users of a history.

        Parameters
        ----------
        candidates : Candidates
        scores : float32 array [n_rows]
            Rows that are NaN are left out.
        history : History
            Of the same users.
        k : int
        exclude_seen : bool
            As if there was one more filter, on all that the user took.
        """
        eligible = Eligible.of(self.everybody, self.filters, history, exclude_seen=exclude_seen)
        hashes = np.zeros(history.n_users, np.uint64)
        if self.floors.turns.any():
            # Without a seed: who begins where is no chance, so that propensities stay true.
            hashes = user_hashes(history.users.values)
        pool = Pool.of(candidates, scores, eligible, self.caps, self.floors, hashes)
        for step in self.reorders:
            pool = pool.reordered(step.order(pool, history, k, self.caps))
        item, score, reserved = choose(pool, eligible, self.caps, self.fill, k)
        if self.explore is None:
            return Lists(item, score)
        propensity = self.explore.explore(item, score, reserved, pool, history, self.caps)
        # What was tried out may count for fewer caps than what it came for.
        top_up(item, score, pool, eligible, self.caps, self.fill)
        return Lists(item, score, propensity)


def _for_everybody(policy: Policy, filters: Sequence[BoundFilter]) -> BoolArray | None:
    masks = [own for one in filters if (own := one.for_everybody()) is not None]
    if not masks:
        return None
    mask: BoolArray = np.logical_and.reduce(masks)
    if not mask.any():
        raise ConfigError(f"the filters of {policy} together let no item of the catalogue through")
    return mask
