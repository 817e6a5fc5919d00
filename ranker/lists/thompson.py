"""Thompson sampling over rates of success: likely good items are tried, and unknown ones."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import polars as pl

from features.arrays import Float32Array, Float64Array
from features.clock import ClockKind
from features.decay import Length
from features.errors import ConfigError, SchemaError
from ranker.lists.arguments import check_whole, ticks_of
from ranker.lists.context import ListContext
from ranker.lists.item_ids import frame_of, rows_of


@dataclass(frozen=True, eq=False)
class Thompson:
    """The item whose rate of success, drawn from what is known of it, is the highest.

    The rate of an item has the distribution ``Beta(a + successes, b + trials - successes)`` with
    ``a, b = prior``. Rates of all items are drawn ``n_draws`` times, and each user and place takes
    one of these draws at random: so an item's propensity is the share of the draws in which it is
    the best, which is counted and not estimated. No propensity lies below ``1 / n_draws``.

    Thompson: On the likelihood that one unknown probability exceeds another (Biometrika 1933);
    Chapelle, Li: An empirical evaluation of Thompson sampling (NeurIPS 2011).

    Parameters
    ----------
    success, trial : str, optional
        Names of events: of an item, how often it was tried (``"view"``), and how often with success
        (``"order"``).
    within : str, int or float, optional
        Count events so long before the snapshot's instant, as ``"7d"``. As a share of the log: a
        float. Default: all.
    rates : DataFrame or LazyFrame, optional
        Instead of events: ``item_id``, ``successes``, ``trials``, once an item, as from an
        impression log. Items that it lacks have not been tried.
    prior : tuple of float
        Successes and failures to begin with, above 0.
    n_draws : int
        A float32 for each draw and item is kept.
    """

    _: KW_ONLY
    success: str | None = None
    trial: str | None = None
    within: Length | None = None
    rates: Any = None
    prior: tuple[float, float] = (1.0, 1.0)
    n_draws: int = 256

    def __post_init__(self) -> None:
        check_whole(self, 2, n_draws=self.n_draws)
        try:
            prior = np.asarray(self.prior, np.float64)
        except (TypeError, ValueError):
            prior = np.empty(0)
        if prior.shape != (2,) or not (np.isfinite(prior).all() and (prior > 0).all()):
            raise ConfigError(f"Thompson: prior={self.prior!r}; expected two numbers above 0")
        by_events = self.success is not None and self.trial is not None
        if by_events == (self.rates is not None) or (
            self.rates is not None and (self.success, self.trial, self.within) != (None,) * 3
        ):
            raise ConfigError(
                "Thompson: give the names of events, success= and trial=, or a frame of rates=, "
                "and not both"
            )
        if self.rates is not None:
            object.__setattr__(self, "rates", _check_rates(self, self.rates))

    def draws(self, context: ListContext, random_state: int) -> Float32Array:
        """Draw the rate of every item, float32 [n_items, n_draws].

        Raises
        ------
        ConfigError
            If the log has no such events or no times.
        SchemaError
            If ids are of another kind than those of the log.
        """
        successes, trials = (
            self._from_frame(context) if self.rates is not None else (self._from_events(context))
        )
        failures = np.maximum(trials - successes, 0.0)
        generator = np.random.default_rng([random_state, 7])
        drawn = np.empty((len(trials), self.n_draws), np.float32)
        for item in range(len(trials)):
            drawn[item] = generator.beta(
                self.prior[0] + successes[item], self.prior[1] + failures[item], self.n_draws
            )
        return drawn

    def _from_frame(self, context: ListContext) -> tuple[Float64Array, Float64Array]:
        rows = rows_of("Thompson", "item_id", self.rates["item_id"], context.history.items)
        counts = np.zeros((2, context.history.n_items))
        for place, name in enumerate(("successes", "trials")):
            counts[place, rows[rows >= 0]] = self.rates[name].to_numpy()[rows >= 0]
        return counts[0], counts[1]

    def _from_events(self, context: ListContext) -> tuple[Float64Array, Float64Array]:
        history, names = context.history, context.history.facts.event_names
        missing = [name for name in (self.success, self.trial) if name not in names]
        if missing:
            raise ConfigError(
                f"Thompson: the log has no events {', '.join(map(repr, missing))}; there are "
                f"{', '.join(map(repr, names)) or 'none with a name'}; or give rates="
            )
        is_recent = np.ones(history.n_events, np.bool_)
        if self.within is not None:
            if history.clock.kind is ClockKind.NONE:
                raise ConfigError("Thompson: within= needs timestamps, and the log has none")
            age = np.repeat(history.now, history.lengths) - history.time
            is_recent = age <= ticks_of(self, history, "within", self.within)
        counts = [
            np.bincount(
                history.item[is_recent & (history.event == names.index(str(name)))],
                minlength=history.n_items,
            ).astype(np.float64)
            for name in (self.success, self.trial)
        ]
        return counts[0], counts[1]


def _check_rates(step: object, rates: Any) -> pl.DataFrame:
    frame = frame_of(step, "rates", rates, ("item_id", "successes", "trials"))
    problems = [
        f"column {name!r} is missing or holds no numbers"
        for name in ("successes", "trials")
        if name not in frame.columns or not frame.schema[name].is_numeric()
    ]
    if not problems:
        is_bad = ~(
            pl.col("successes").is_finite()
            & pl.col("trials").is_finite()
            & (pl.col("successes") >= 0)
            & (pl.col("trials") >= pl.col("successes"))
        )
        frame = frame.cast({"successes": pl.Float64, "trials": pl.Float64})
        bad = frame.filter(is_bad.fill_null(value=True))
        if bad.height:
            problems.append(
                f"{bad.height} rows have a null, a negative number or more successes than trials, "
                f"such as {bad.row(0, named=True)}"
            )
    n_repeated = frame.height - frame["item_id"].n_unique()
    if n_repeated:
        problems.append(f"{n_repeated} rows repeat an item; sum them up, one row an item")
    if problems:
        raise SchemaError("rates of Thompson", problems)
    return frame.sort("item_id")
