"""Prints what each block of features and each source is worth: NDCG@10 with and without it.

    python tests/benchmarks/ablation.py blocks complete-journey foursquare-nyc --data FOLDER
    python tests/benchmarks/ablation.py sources complete-journey foursquare-nyc --data FOLDER

Trees learn as the engine has them learn, and are compared over the users who judge in the label
windows of the train rows (``valid``). For ``blocks`` the label tables hold the columns of the whole
catalogue and are made once; each line grows trees on some of the columns, and ``test`` is the same
model on the test rows. It is not grown again with the freshest labels, as the engine would: a
difference needs no more. For ``sources`` the tables are made anew for each line, and the test rows
are not read.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from features.arrays import Float64Array, Int64Array
from features.catalogue import all_blocks
from features.history import LogFacts
from features.infer import infer_stage
from features.schema import check_interactions, check_items
from features.stage import block_name, default_blocks
from ranker import (
    BPR,
    EASE,
    RandomWalk,
    TextSimilarity,
    Transitions,
    TwoStageRecommender,
    UserKNN,
)
from ranker.benchmark import PROTOCOLS, Case, Split, load_case
from ranker.candidates.base import Generator
from ranker.evaluation.intervals import paired_interval
from ranker.evaluation.metrics import ndcg
from ranker.fitting import Fitting, Settings
from ranker.labelling import label_candidates
from ranker.rerank.first_stage import FUSION, first_stage_scores
from ranker.rerank.lambdarank import LambdaRank
from ranker.rerank.table import LabelledTable

K = 10
MAX_EASE_ITEMS = 13_000  # minutes for each snapshot beyond


class Tables(NamedTuple):
    """Labelled candidates of one split: those to learn from and to judge by, the test rows."""

    train: list[LabelledTable]
    valid: LabelledTable
    test: LabelledTable
    names: tuple[str, ...]
    block_of: dict[str, str]
    sources: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    lists = [name for name, protocol in PROTOCOLS.items() if not protocol.rates]
    parser.add_argument("what", choices=["blocks", "sources"])
    parser.add_argument("names", nargs="+", choices=lists)
    parser.add_argument("--data", default=os.environ.get("RANKER_DATA", "../shared/data"))
    parser.add_argument("--seed", type=int, default=0, help="of the sources and samples")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the trees")
    parser.add_argument("--max-groups", type=int, default=4_000)
    parser.add_argument("--users", type=int, default=5_000, help="of the test rows")
    arguments = parser.parse_args()
    for name in arguments.names:
        case = load_case(name, Path(arguments.data), arguments.seed)
        print(f"\n{name}, seed {arguments.seed}")
        if arguments.what == "sources":
            ablate_sources(case, arguments.seed, arguments.max_groups, arguments.seeds)
            continue
        start = time.perf_counter()
        tables = [
            label_tables(case, split, arguments.seed, arguments.max_groups, arguments.users)
            for split in case.splits
        ]
        print(f"tables in {time.perf_counter() - start:.0f} s")
        ablate_blocks(tables, arguments.seeds)


# --------------------------------------------------------------------- sources


def ablate_sources(case: Case, seed: int, max_groups: int, seeds: list[int]) -> None:
    """Print a line for the engine's own sources, without each, and with each of some others."""
    fittings = [_begin(case, split, seed, max_groups) for split in case.splits]
    own = fittings[0].state.specs
    variants: dict[str, dict[str, Generator]] = {"defaults": own}
    for name in own:
        variants[f"- {name}"] = {key: own[key] for key in own if key != name}
    for name, generator in _others(case).items():
        if name not in own:
            variants[f"+ {name}"] = own | {name: generator}
    print(f"{'sources':<22}proposed   valid difference, 95 %             seconds")
    base: Float64Array | None = None
    judges: list[Int64Array] = []
    for label, generators in variants.items():
        start = time.perf_counter()
        parts, recalls, users = [], [], []
        for split in case.splits:
            windows = _begin(case, split, seed, max_groups, generators=generators).label()
            train_and_valid = windows.split()
            assert train_and_valid is not None
            train, valid = train_and_valid
            parts += _mean_ndcg(train, windows.names, valid, [valid], seeds)
            users.append(valid.user)
            recalls.append(windows.recall[0])
        values = np.concatenate(parts)
        if base is None:
            base, judges = values, users
        if not all(map(np.array_equal, users, judges)):
            # Who judges among random labels depends on who has a hit.
            sys.exit(f"{label}: other users judge; give a data set with timestamps")
        print(
            f"{label:<22}{np.mean(recalls):>8.4f}{_compared(values, base)}"
            f"{time.perf_counter() - start:>10.0f}",
            flush=True,
        )


def _others(case: Case) -> dict[str, Generator]:
    log = case.splits[0].train
    others: dict[str, Generator] = {
        "bpr": BPR(),
        "user_knn": UserKNN(),
        "random_walk": RandomWalk(),
    }
    if "timestamp" in log.columns:
        others["transitions"] = Transitions()
    if log["item_id"].n_unique() <= MAX_EASE_ITEMS:
        others["ease"] = EASE()
    if case.items is not None:
        others["text"] = TextSimilarity()
    return others


# ---------------------------------------------------------------------- blocks


def label_tables(case: Case, split: Split, seed: int, max_groups: int, n_users: int) -> Tables:
    """What the engine would learn from, with the columns of the whole catalogue."""
    log = check_interactions(split.train)
    items = None if case.items is None else check_items(case.items)
    stage = infer_stage(log, LogFacts.of(log), items=items, blocks=all_blocks())
    fitting = _begin(case, split, seed, max_groups, features=stage)
    windows = fitting.label()
    parts = windows.split()
    assert parts is not None
    train, valid = parts
    state = fitting.state
    snapshot = state.snapshot()
    test = label_candidates(
        snapshot,
        check_interactions(split.test).select("user_id", "item_id").unique(),
        state.depths,
        repeats=state.repeats,
        max_groups=n_users,
        n_judged=n_users,
        random_state=seed,
        n_threads=2,
    )
    assert test is not None
    assert test.judged is not None
    block_of = {
        feature.name: block_name(block)
        for block, fitted in zip(stage.blocks, snapshot.tables.blocks, strict=True)
        for feature in fitted.features
    }
    for name in windows.names:  # a comparison within the list belongs to what it compares
        if name not in block_of:
            block_of[name] = block_of[name.removesuffix("_list_rank").removesuffix("_list_ratio")]
    return Tables(train, valid, test.judged, windows.names, block_of, tuple(state.specs))


def ablate_blocks(tables: list[Tables], seeds: list[int]) -> None:
    """Print a line for each set of blocks, with its difference from the default one."""
    default = {block_name(block) for block in default_blocks()}
    every = {block_name(block) for block in all_blocks()}
    variants = {"defaults": default, "all": every}
    variants |= {f"- {name}": default - {name} for name in sorted(default)}
    variants |= {f"+ {name}": default | {name} for name in sorted(every - default)}
    print(f"{'blocks':<22}columns   valid difference, 95 %             test difference, 95 %")
    base: dict[str, Float64Array] = {}
    n_default = 0
    for label, blocks in variants.items():
        columns = [name for name in tables[0].names if tables[0].block_of[name] in blocks]
        line = f"{label:<22}{len(columns):>7}"
        if len(columns) == n_default:
            print(f"{line}   the same columns", flush=True)
            continue
        values = _values(tables, blocks, seeds)
        if not base:
            base, n_default = values, len(columns)
        line += "".join(_compared(ndcgs, base[name]) for name, ndcgs in values.items())
        print(line, flush=True)
    for system in (*tables[0].sources, FUSION):
        line = f"{f'({system})':<29}"
        for name in ("valid", "test"):
            ndcgs = np.concatenate(
                [_first_stage(part, getattr(part, name), system) for part in tables]
            )
            line += f"   {ndcgs.mean():.4f}{'':<26}"
        print(line.rstrip(), flush=True)


def _values(tables: list[Tables], blocks: set[str], seeds: list[int]) -> dict[str, Float64Array]:
    """NDCG of each user of all splits, averaged over seeds."""
    parts: dict[str, list[Float64Array]] = {"valid": [], "test": []}
    for part in tables:
        columns = np.array([part.block_of[name] in blocks for name in part.names])
        names = [name for name, wanted in zip(part.names, columns, strict=True) if wanted]
        train = [_select(table, columns) for table in part.train]
        valid, test = _select(part.valid, columns), _select(part.test, columns)
        means = _mean_ndcg(train, names, valid, [valid, test], seeds)
        for name, mean in zip(parts, means, strict=True):
            parts[name].append(mean)
    return {name: np.concatenate(values) for name, values in parts.items()}


def _first_stage(tables: Tables, table: LabelledTable, system: str) -> Float64Array:
    scores = first_stage_scores(system, tables.sources, table.rank, fill=tables.sources[0])
    return ndcg(table.hits(scores, K), table.n_relevant, k=K)


def _select(table: LabelledTable, columns: np.ndarray) -> LabelledTable:
    return dataclasses.replace(table, features=table.features[:, columns])


# ------------------------------------------------------------------------ both


def _begin(case: Case, split: Split, seed: int, max_groups: int, **keywords: object) -> Fitting:
    recommender = TwoStageRecommender(random_state=seed, max_groups=max_groups, **keywords)  # type: ignore[arg-type]
    return Fitting.begin(Settings.of(recommender), split.train, case.items, None)


def _mean_ndcg(
    train: list[LabelledTable],
    names: Sequence[str],
    valid: LabelledTable,
    judged: list[LabelledTable],
    seeds: list[int],
) -> list[Float64Array]:
    """NDCG of each group of some tables, the mean over seeds of the trees."""
    values = np.zeros((len(seeds), sum(table.n_groups for table in judged)))
    for row, seed in zip(values, seeds, strict=True):
        model = LambdaRank().fit(train, names, validation=valid, random_state=seed, n_threads=2)
        parts = [
            ndcg(table.hits(model.predict(table.features, n_threads=2), K), table.n_relevant, k=K)
            for table in judged
        ]
        row[:] = np.concatenate(parts)
    ends = np.cumsum([table.n_groups for table in judged])[:-1]
    return np.split(values.mean(axis=0), ends)


def _compared(values: Float64Array, base: Float64Array) -> str:
    interval = paired_interval(values, base)
    return (
        f"   {values.mean():.4f} {interval.difference:+.4f} "
        f"[{interval.low:+.4f}, {interval.high:+.4f}]"
    )


if __name__ == "__main__":
    main()
