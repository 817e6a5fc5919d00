"""Prints what each block of features is worth: NDCG@10 with and without it, on the same users.

    python tests/benchmarks/ablation.py complete-journey foursquare-nyc --data FOLDER

The label tables hold the columns of the whole catalogue and are made once; each line grows trees on
some of the columns. Trees are stopped by the freshest labels that the train rows hold, which is
where blocks are to be chosen (``valid``); ``test`` is the same model on the test rows. It is not
grown again with the freshest labels, as the engine would: a difference needs no more.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from features.arrays import Float64Array
from features.catalogue import all_blocks
from features.history import LogFacts
from features.infer import infer_stage
from features.schema import check_interactions, check_items
from features.stage import block_name, default_blocks
from ranker.benchmark import PROTOCOLS, Case, Split, load_case
from ranker.defaults import choose_holdout, default_generators, depths_of, repeats_in
from ranker.evaluation.intervals import paired_interval
from ranker.evaluation.metrics import ndcg
from ranker.labelling import label_candidates
from ranker.negatives import Negatives, thin_out
from ranker.rerank.first_stage import FUSION, first_stage_scores
from ranker.rerank.lambdarank import LambdaRank
from ranker.rerank.table import LabelledTable
from ranker.snapshot import Snapshot

K = 10


class Tables(NamedTuple):
    """Labelled candidates of one split: older windows, the freshest window, the test rows."""

    train: list[LabelledTable]
    valid: LabelledTable
    test: LabelledTable
    names: tuple[str, ...]
    block_of: dict[str, str]
    sources: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    lists = [name for name, protocol in PROTOCOLS.items() if not protocol.rates]
    parser.add_argument("names", nargs="+", choices=lists)
    parser.add_argument("--data", default=os.environ.get("RANKER_DATA", "../shared/data"))
    parser.add_argument("--seed", type=int, default=0, help="of the sources and samples")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the trees")
    parser.add_argument("--max-groups", type=int, default=4_000)
    parser.add_argument("--users", type=int, default=5_000, help="of the test rows")
    arguments = parser.parse_args()
    for name in arguments.names:
        case = load_case(name, Path(arguments.data), arguments.seed)
        start = time.perf_counter()
        tables = [
            label_tables(case, split, arguments.seed, arguments.max_groups, arguments.users)
            for split in case.splits
        ]
        print(f"\n{name}, seed {arguments.seed}: tables in {time.perf_counter() - start:.0f} s")
        ablation(tables, arguments.seeds)


def label_tables(case: Case, split: Split, seed: int, max_groups: int, n_users: int) -> Tables:
    """What the engine would learn from, with the columns of the whole catalogue."""
    log = check_interactions(split.train)
    items = None if case.items is None else check_items(case.items)
    facts = LogFacts.of(log)
    folds = choose_holdout(facts, None, None, None).folds(log, facts, random_state=seed)
    repeats = repeats_in(folds)
    specs = default_generators(
        facts, repeats=repeats, n_items=log["item_id"].n_unique(), items=items
    )
    stage = infer_stage(log, facts, items=items, blocks=all_blocks())
    shared = {"facts": facts, "generators": specs, "stage": stage, "items": items}

    def table(snapshot: Snapshot, labels: pl.DataFrame, n: int, is_judged: bool) -> LabelledTable:
        labelled = label_candidates(
            snapshot,
            labels,
            depths_of(specs, None),
            repeats=repeats,
            max_groups=n,
            n_judged=n if is_judged else 0,
            random_state=seed,
            n_threads=2,
        )
        assert labelled is not None
        return labelled.learned if labelled.judged is None else labelled.judged

    tables = []
    for index, fold in enumerate(folds):
        snapshot = Snapshot.build(fold.history, as_of=fold.as_of, random_state=seed, **shared)
        tables.append(table(snapshot, fold.labels, max_groups, is_judged=index == 0))
    snapshot = Snapshot.build(log, as_of=_end(log, facts), random_state=seed, **shared)
    test = split.test.select("user_id", "item_id").unique()
    names = snapshot.tables.names
    block_of = {
        feature.name: block_name(block)
        for block, fitted in zip(stage.blocks, snapshot.tables.blocks, strict=True)
        for feature in fitted.features
    }
    for name in names:  # a comparison within the list belongs to what it compares
        if name not in block_of:
            block_of[name] = block_of[name.removesuffix("_list_rank").removesuffix("_list_ratio")]
    older = tables[1:]
    valid = tables[0]
    if not older:
        in_valid = np.random.default_rng(seed).random(valid.n_groups) < 0.3
        older, valid = (
            [thin_out(valid.groups(~in_valid), seed, Negatives())],
            valid.groups(in_valid),
        )
    return Tables(
        older, valid, table(snapshot, test, n_users, is_judged=True), names, block_of, tuple(specs)
    )


def ablation(tables: list[Tables], seeds: list[int]) -> None:
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
        for name, ndcgs in values.items():
            interval = paired_interval(ndcgs, base[name])
            line += (
                f"   {ndcgs.mean():.4f} {interval.difference:+.4f} "
                f"[{interval.low:+.4f}, {interval.high:+.4f}]"
            )
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
    values: dict[str, list[Float64Array]] = {"valid": [], "test": []}
    for part in tables:
        columns = np.array([part.block_of[name] in blocks for name in part.names])
        names = [name for name, wanted in zip(part.names, columns, strict=True) if wanted]
        train = [_select(table, columns) for table in part.train]
        judged = {"valid": _select(part.valid, columns), "test": _select(part.test, columns)}
        totals = {name: np.zeros(table.n_groups) for name, table in judged.items()}
        for seed in seeds:
            model = LambdaRank().fit(
                train, names, validation=judged["valid"], random_state=seed, n_threads=2
            )
            for name, table in judged.items():
                hits = table.hits(model.predict(table.features, n_threads=2), K)
                totals[name] += ndcg(hits, table.n_relevant, k=K) / len(seeds)
        for name, total in totals.items():
            values[name].append(total)
    return {name: np.concatenate(parts) for name, parts in values.items()}


def _first_stage(tables: Tables, table: LabelledTable, system: str) -> Float64Array:
    scores = first_stage_scores(system, tables.sources, table.rank, fill=tables.sources[0])
    return ndcg(table.hits(scores, K), table.n_relevant, k=K)


def _select(table: LabelledTable, columns: np.ndarray) -> LabelledTable:
    return dataclasses.replace(table, features=table.features[:, columns])


def _end(log: pl.DataFrame, facts: LogFacts) -> int | None:
    if not facts.clock.is_comparable:
        return None
    return int(facts.clock.ticks(log["timestamp"]).max()) + facts.clock.step


if __name__ == "__main__":
    main()
