"""Places for trying items out, with the probability of what was shown."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from features.arrays import BoolArray, Float32Array, Float64Array, Int32Array, Int64Array
from features.errors import ConfigError
from features.history import History
from features.kernel import kernel
from ranker.lists.arguments import check_depth, check_share, check_whole
from ranker.lists.caps import Caps, fits, take
from ranker.lists.chance import UInt64Array, uniform, user_hashes
from ranker.lists.context import ListContext
from ranker.lists.pool import Pool
from ranker.lists.step import Step
from ranker.lists.thompson import Thompson


@dataclass(frozen=True)
class Epsilon:
    """With probability ``epsilon`` any of the items looked at, all alike; else the list stays.

    Parameters
    ----------
    epsilon : float
        From 0 to 1.
    """

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        check_share(self, epsilon=self.epsilon)


@dataclass(frozen=True)
class Explore(Step):
    """The lowest places of each list are for trying items out. The last step of a policy.

    At each of them, from above, the item that stands there and the next ``depth`` candidates that
    the rules allow in its place are looked at, and ``by`` draws one. Places that quotas have
    reserved are passed over.

    The frame of lists gets a column ``propensity`` (Float64): the probability with which the item
    was put at its place, given the items at all places above it and the policy; 1 where nothing was
    drawn. The probability of a whole list is their product. The draws follow from
    ``random_state``, the user's id and the instant of the snapshot, and from nothing else.

    Parameters
    ----------
    places : int
        How many.
    by : Epsilon or Thompson
    depth : int
        How many candidates behind the list are looked at.
    random_state : int, optional
        Another one draws anew. Default: that of the recommender.
    """

    places: int = 1
    _: KW_ONLY
    by: Epsilon | Thompson = field(default_factory=Epsilon)
    depth: int = 50
    random_state: int | None = None

    def __post_init__(self) -> None:
        check_whole(self, 1, places=self.places)
        check_depth(self, self.depth)
        if self.random_state is not None:
            check_whole(self, 0, random_state=self.random_state)
        if not isinstance(self.by, Epsilon | Thompson):
            raise ConfigError(f"Explore: by={self.by!r}; expected Epsilon(...) or Thompson(...)")

    @property
    def n_places(self) -> int:
        """How many places it asks for."""
        return self.places

    def bind(self, context: ListContext) -> BoundExplore:
        """Draw the rates of all items, where they are asked for.

        Raises
        ------
        ConfigError
            If there is nothing to know rates from.
        """
        random_state = context.random_state if self.random_state is None else self.random_state
        seed = f"explore/{random_state}/{context.history.as_of}"
        if isinstance(self.by, Thompson):
            rates = self.by.draws(context, random_state)
            return BoundExplore(self, seed, 0.0, rates)
        return BoundExplore(self, seed, self.by.epsilon, np.zeros((0, 0), np.float32))


@dataclass(frozen=True)
class BoundExplore:
    """:class:`Explore` with its seed, and drawn rates, float32 [n_items, n_draws], if there are."""

    step: Explore
    seed: str
    epsilon: float
    rates: Float32Array

    def explore(
        self,
        item: Int32Array,
        score: Float32Array,
        reserved: BoolArray,
        pool: Pool,
        history: History,
        caps: Caps,
    ) -> Float64Array:
        """Change lists in place.

        Parameters
        ----------
        item : int32 array [n_users, k]
            -1 behind the last.
        score : float32 array [n_users, k]
        reserved : bool array [n_users, k]
        pool : Pool
        history : History
        caps : Caps

        Returns
        -------
        float64 array [n_users, k]
            The propensities.
        """
        propensity = np.ones(item.shape)
        _explore(
            item,
            score,
            reserved,
            pool.indptr,
            pool.item,
            pool.score,
            caps.indptr,
            caps.code,
            caps.limit,
            user_hashes(history.users.values, self.seed),
            self.step.places,
            self.step.depth,
            float(self.epsilon),
            self.rates,
            propensity,
        )
        return propensity


@kernel
def _explore(
    item: Int32Array,
    score: Float32Array,
    reserved: BoolArray,
    indptr: Int64Array,
    pool_item: Int32Array,
    pool_score: Float32Array,
    cap_indptr: Int64Array,
    cap_code: Int32Array,
    limit: Int64Array,
    user_hash: UInt64Array,
    n_places: int,
    depth: int,
    epsilon: float,
    rates: Float32Array,
    propensity: Float64Array,
) -> None:
    n_items, k, n_draws = len(cap_indptr) - 1, item.shape[1], rates.shape[1]
    listed_for = np.full(n_items, -1, np.int64)
    left, places = np.empty_like(limit), np.empty(k, np.int64)
    choice, choice_score = np.empty(depth + 1, np.int32), np.empty(depth + 1, np.float32)
    for user in range(len(item)):
        left[:] = limit
        size = 0
        while size < k and item[user, size] >= 0:
            listed_for[item[user, size]] = user
            take(item[user, size], cap_indptr, cap_code, left, 1)
            size += 1
        n_found = _lowest_free(reserved[user, :size], n_places, places)
        state = user_hash[user]
        for at in range(n_found - 1, -1, -1):
            place = places[at]
            shown = item[user, place]
            take(shown, cap_indptr, cap_code, left, -1)
            choice[0], choice_score[0], n = shown, score[user, place], 1
            for row in range(indptr[user], indptr[user + 1]):
                if n > depth:
                    break
                one = pool_item[row]
                if listed_for[one] != user and fits(one, cap_indptr, cap_code, left):
                    choice[n], choice_score[n] = one, pool_score[row]
                    n += 1
            state, chance = uniform(state)
            state, which = uniform(state)
            if n_draws > 0:
                drawn, propensity[user, place] = _by_rate(rates, choice[:n], which)
            else:
                drawn = int(which * n) if chance < epsilon else 0
                propensity[user, place] = epsilon / n + (1.0 - epsilon if drawn == 0 else 0.0)
            listed_for[shown] = -1
            item[user, place], score[user, place] = choice[drawn], choice_score[drawn]
            listed_for[choice[drawn]] = user
            take(choice[drawn], cap_indptr, cap_code, left, 1)


@kernel
def _lowest_free(reserved: BoolArray, n_places: int, places: Int64Array) -> int:
    """Write the lowest places that nobody has reserved, from below; returns how many."""
    n_found = 0
    for place in range(len(reserved) - 1, -1, -1):
        if n_found < n_places and not reserved[place]:
            places[n_found] = place
            n_found += 1
    return n_found


@kernel
def _by_rate(rates: Float32Array, choice: Int32Array, chance: float) -> tuple[int, float]:
    """The best item in one of the draws, and the share of the draws in which it is the best."""
    n_draws = rates.shape[1]
    drawn = _best_rate(rates, choice, int(chance * n_draws))
    n_same = 0
    for draw in range(n_draws):
        if _best_rate(rates, choice, draw) == drawn:
            n_same += 1
    return drawn, n_same / n_draws


@kernel
def _best_rate(rates: Float32Array, choice: Int32Array, draw: int) -> int:
    best = 0
    for at in range(1, len(choice)):
        if rates[choice[at], draw] > rates[choice[best], draw]:
            best = at
    return best
