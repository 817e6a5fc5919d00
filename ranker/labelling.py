"""From a snapshot and what came after it to labelled candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import Float64Array, Int8Array, Int64Array
from features.candidates import Candidates
from features.history import History
from features.ids import Ids
from ranker.cold_users import cut_short, taken_before
from ranker.grades import GRADE
from ranker.impressions import position_of
from ranker.negatives import DEFAULT_NEGATIVES, Negatives, thin_out
from ranker.parallel import map_chunks
from ranker.rerank.table import LabelledTable
from ranker.rerank.temperature import COLD, TEMPERATURES, item_temperature
from ranker.snapshot import Snapshot


@dataclass(frozen=True)
class Labelled:
    """What a label window has to learn from.

    Attributes
    ----------
    judged : LabelledTable or None
        Some of the users, each with all candidates, to judge by. Who has no hit among them has no
        row, since every order of them is worth nothing. None if not asked for.
    learned : LabelledTable
        What is learned from: of all sampled users those with a hit, all hits and a random part of
        the rest; after them some users once more, as if they were new, where they have a hit then.
    recall : float
        Share of the relevant items that the sources propose, mean over all sampled users, those
        without a hit included.
    """

    judged: LabelledTable | None
    learned: LabelledTable
    recall: float


def label_candidates(
    snapshot: Snapshot,
    labels: pl.DataFrame,
    depths: Mapping[str, int],
    *,
    repeats: bool,
    max_groups: int,
    random_state: int,
    n_judged: int = 0,
    negatives: Negatives = DEFAULT_NEGATIVES,
    cold_share: float = 0.0,
    shown: pl.DataFrame | None = None,
    chunk_size: int = 256,
    n_threads: int = 1,
    everybody: Ids | None = None,
) -> Labelled | None:
    """Candidates and features as of a snapshot, labelled with what came after it.

    A relevant item that nobody proposed is never put in: at serving time nobody would propose it
    either. It still counts in ``relevant``.

    Parameters
    ----------
    snapshot : Snapshot
    labels : DataFrame
        ``user_id``, ``item_id``, distinct, and on request ``grade`` from 1, from after the
        snapshot.
    depths : mapping of source name to int
    repeats : bool
        Whether items that the user took before count; if not they are neither candidates nor
        relevant.
    max_groups : int
        Users beyond this number are left out, at random.
    random_state : int
    n_judged : int
        Of how many of the users to keep all candidates besides.
    negatives : Negatives
        Which candidates without a hit to learn from.
    cold_share : float
        Share of the users who are also shown with a history of 0, 1 or 2 events. The sources know
        the whole log, as they do when a new user comes.
    shown : DataFrame, optional
        ``user_id``, ``item_id``, ``position``, distinct pairs: what was shown in the window.
    chunk_size, n_threads : int
    everybody : Ids, optional
        By whom users are numbered. Default: those of the labels.

    Returns
    -------
    Labelled or None
        None if nothing is relevant to anybody.
    """
    relevant = labels if repeats else unseen(labels, snapshot.history)
    if not relevant.height:
        return None
    user_ids = sample_users(relevant["user_id"].unique().sort(), max_groups, random_state)
    asked = snapshot.history.select(user_ids)
    # Of those who are sampled anyway, whatever their number: not the first by id.
    judged_ids = sample_users(user_ids, n_judged, random_state).implode()
    numbers = Ids.sorted(labels["user_id"]) if everybody is None else everybody
    marks = _Marks(relevant, item_temperature(snapshot.history))
    recalls: list[Float64Array] = []
    judged: list[LabelledTable] = []

    def label(history: History) -> tuple[LabelledTable, Candidates]:
        candidates = snapshot.candidates(history, depths, exclude_seen=not repeats)
        grade, _ = mark_relevant(candidates, relevant)
        has_hit = np.zeros(history.n_users, bool)
        has_hit[candidates.user[grade > 0]] = True
        # The others' candidates teach nothing and need no features, which take the most time.
        found = candidates.of_users(has_hit)
        lengths = np.where(has_hit, candidates.lengths, 0)
        table = LabelledTable(
            features=snapshot.features(history.of_users(has_hit), found),
            label=grade[has_hit[candidates.user]],
            indptr=np.concatenate(([0], np.cumsum(lengths))),
            relevant=marks.count(candidates),
            rank=found.rank,
            temperature=marks.temperature[found.item],
            n_events=history.lengths,
            position=(
                np.zeros(found.n_rows, np.int16) if shown is None else position_of(found, shown)
            ),
            user=numbers.encode(history.users.values).astype(np.int64),
        )
        return table, found

    def label_known(
        start: int, history: History
    ) -> tuple[LabelledTable | None, LabelledTable, Float64Array]:
        table, _ = label(history)
        thin = thin_out(table, random_state + start, negatives)
        is_judged = history.users.values.is_in(judged_ids).to_numpy()
        return table.groups(is_judged) if n_judged else None, thin, _recall(table)

    def label_cold(start: int, history: History) -> LabelledTable:
        table, candidates = label(history)
        if not repeats:
            # What the user took before the cut is neither taken again nor declined.
            taken = snapshot.history.select(candidates.users.values)
            table = table.take(~taken_before(candidates, taken))
        return thin_out(table, random_state + start, negatives)

    size = snapshot.chunk_size(chunk_size)

    def learned() -> Iterator[LabelledTable]:
        for table, thin, recall in map_chunks(
            label_known, asked, size, n_threads, description="label candidates"
        ):
            recalls.append(recall)
            if table is not None:
                judged.append(table)
            yield thin
        cut = cut_short(asked, cold_share, random_state)
        if cut.n_users:
            yield from map_chunks(
                label_cold, cut, size, n_threads, description="label as new users"
            )

    table = LabelledTable.concatenate(learned())
    whole = LabelledTable.concatenate(_drained(judged)) if n_judged else None
    return Labelled(whole, table, float(np.concatenate(recalls).mean()))


def _drained(tables: list[LabelledTable]) -> Iterator[LabelledTable]:
    """Each in turn; none is held any longer once the next is asked for."""
    tables.reverse()
    while tables:
        yield tables.pop()


def unseen(labels: pl.DataFrame, history: History) -> pl.DataFrame:
    """The pairs of user and item that are not in the history."""
    seen = pl.DataFrame(
        {
            "user_id": history.users.decode(history.user),
            "item_id": history.items.decode(history.item),
        }
    ).unique()
    return labels.join(seen, on=["user_id", "item_id"], how="anti")


def sample_users(user_ids: pl.Series, n: int, random_state: int) -> pl.Series:
    """At most ``n`` of some users, in their order."""
    if len(user_ids) <= n:
        return user_ids
    chosen = np.random.default_rng(random_state).choice(len(user_ids), n, replace=False)
    return user_ids.gather(np.sort(chosen))


def mark_relevant(candidates: Candidates, relevant: pl.DataFrame) -> tuple[Int8Array, Int64Array]:
    """Labels of the rows, int8 [n_rows], and the number of relevant items of each user, int64.

    Parameters
    ----------
    candidates : Candidates
    relevant : DataFrame
        ``user_id``, ``item_id``, distinct; other users' rows are passed over. With ``grade`` that
        is the label, else 1.
    """
    user = candidates.users.encode(relevant["user_id"])
    n_relevant = np.bincount(user[user >= 0], minlength=candidates.n_users)
    rows = candidates.find(user, candidates.items.encode(relevant["item_id"]))
    label = np.zeros(candidates.n_rows, np.int8)
    label[rows[rows >= 0]] = _grades(relevant)[rows >= 0]
    return label, n_relevant.astype(np.int64)


class _Marks:
    """Counts relevant items by grade and temperature."""

    def __init__(self, relevant: pl.DataFrame, temperature: Int8Array) -> None:
        self.relevant = relevant
        self.temperature = temperature
        self.n_grades = int(_grades(relevant).max(initial=1))

    def count(self, candidates: Candidates) -> Int64Array:
        """Int64 [n_users, n_grades, n_temperatures]; items without events are cold."""
        user = candidates.users.encode(self.relevant["user_id"]).astype(np.int64)
        item = candidates.items.encode(self.relevant["item_id"])[user >= 0]
        grade = _grades(self.relevant)[user >= 0].astype(np.int64)
        temperature = np.where(item >= 0, self.temperature[item], COLD)
        shape = (candidates.n_users, self.n_grades, len(TEMPERATURES))
        cell = np.ravel_multi_index((user[user >= 0], grade - 1, temperature), shape)
        return np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape).astype(np.int64)


def _grades(relevant: pl.DataFrame) -> Int8Array:
    if GRADE not in relevant.columns:
        return np.ones(relevant.height, np.int8)
    grades: Int8Array = relevant[GRADE].to_numpy()
    return grades


def _recall(table: LabelledTable) -> Float64Array:
    """Share of the relevant items of each group that are among its rows, float64 [n_groups]."""
    group = np.repeat(np.arange(table.n_groups), np.diff(table.indptr))
    found = np.bincount(group[table.label > 0], minlength=table.n_groups)
    recall: Float64Array = found / table.n_relevant
    return recall
