"""Measures choices of the training on validation labels, each against the default.

    python tests/benchmarks/training_ablation.py tables complete-journey --store FOLDER
    python tests/benchmarks/training_ablation.py fit complete-journey --store FOLDER --seeds 0 1
    python tests/benchmarks/training_ablation.py report complete-journey --store FOLDER --seeds 0 1
    python tests/benchmarks/training_ablation.py gate complete-journey --store FOLDER --seeds 0 1

``tables`` labels the candidates of five windows of the training rows, once whole and once with
users cut short, and keeps them as npz; ``fit`` grows trees for each variant on all windows but the
freshest, and ``report`` compares them with the default over the users of the freshest. ``gate``
says what each kind of gate would have served, ``forests`` compares the mean of several forests by
one spread for all users (as ``n_models`` has it), by a spread for each, and by rank. The rows after
the training rows are never read.

The number of trees is chosen on one half of the validation users and judged on the other, and the
other way round, so that nobody is judged by trees that he has chosen.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path

import numpy as np

from ranker import LambdaRank, TwoStageRecommender, split_by_time
from ranker.datasets import Dataset, load_complete_journey, load_folder
from ranker.defaults import popularity_of
from ranker.evaluation.intervals import paired_interval
from ranker.fitting import Fitting, Settings
from ranker.negatives import DEFAULT_NEGATIVES, Negatives, thin_out
from ranker.rerank.blend import WEIGHTS, Blend
from ranker.rerank.first_stage import FUSION, first_stage_scores
from ranker.rerank.fitted import FittedLambdaRank
from ranker.rerank.quality import graded_ndcg
from ranker.rerank.table import LabelledTable

SPLITS = {
    "complete-journey": {"test": "28d"},
    "foursquare-nyc": {"test_fraction": 0.1},
    "ml-latest-small": {"test_fraction": 0.1},
    "ml-100k": {"test_fraction": 0.1},
}
N_WINDOWS = 5
WHOLE = Negatives(share=1.0, per_positive=0, at_most=1_000)
COLD_SHARE = 0.5  # made once; a variant takes a part of it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("step", choices=["tables", "fit", "report", "gate", "forests"])
    parser.add_argument("name", choices=SPLITS)
    parser.add_argument("--data", default=os.environ.get("RANKER_DATA", "../shared/data"))
    parser.add_argument("--store", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--origins", type=int, nargs="+", default=[0], help="how many windows to step back"
    )
    parser.add_argument("--only", nargs="+", default=None, help="beginnings of variants")
    arguments = parser.parse_args()
    folders = [
        Path(arguments.store) / f"{arguments.name}-{origin}"
        if origin
        else Path(arguments.store) / arguments.name
        for origin in arguments.origins
    ]
    if arguments.step == "report":
        report(folders, arguments.seeds)
    for origin, folder in zip(arguments.origins, folders, strict=True):
        if arguments.step == "tables":
            data = _load(arguments.name, arguments.data)
            write_tables(arguments.name, data, folder, origin)
        elif arguments.step == "fit":
            fit_variants(folder, arguments.seeds, arguments.only)
        elif arguments.step == "gate":
            judge_gate(folder, arguments.seeds)
        elif arguments.step == "forests":
            judge_forests(folder, arguments.seeds)


# ---------------------------------------------------------------- label tables


def write_tables(name: str, data: Dataset, folder: Path, origin: int) -> None:
    start = time.perf_counter()
    items = data.items if name == "complete-journey" else None
    train, _ = split_by_time(data.interactions, **SPLITS[name])
    recommender = TwoStageRecommender(
        n_windows=N_WINDOWS + origin, negatives=WHOLE, cold_share=COLD_SHARE, max_groups=5_000
    )
    fitting = Fitting.begin(Settings.of(recommender), train, items, None)
    fitting = dataclasses.replace(fitting, folds=fitting.folds[origin:])
    state, holdout, windows = fitting.state, fitting.holdout, fitting.label()
    recommender.cold_share = 0.0
    known = dataclasses.replace(fitting, settings=Settings.of(recommender)).label()
    folder.mkdir(parents=True, exist_ok=True)
    for index, (both, plain) in enumerate(zip(windows.labelled, known.labelled, strict=True)):
        if both is not None and plain is not None:
            is_cold = np.arange(both.learned.n_groups) >= plain.learned.n_groups
            _write(folder / f"window-{index}.npz", plain.judged or plain.learned)
            _write(folder / f"cold-{index}.npz", both.learned.groups(is_cold))
    facts = {
        "names": list(windows.names),
        "sources": list(state.specs),
        "fill": popularity_of(state.specs),
        "recall": windows.recall,
        "holdout": holdout,
        "repeats": state.repeats,
    }
    (folder / "facts.json").write_text(json.dumps(facts))
    rows = [labelled and labelled.learned.n_rows for labelled in known.labelled]
    print(f"{name}: {holdout}; recall {np.round(windows.recall, 3)}; rows {rows}")
    print(f"{time.perf_counter() - start:.0f} s")


def _write(path: Path, table: LabelledTable) -> None:
    np.savez(path, **{f.name: getattr(table, f.name) for f in dataclasses.fields(table)})


def _read(path: Path) -> LabelledTable | None:
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as archive:
        return LabelledTable(**{name: archive[name] for name in archive.files})


# ------------------------------------------------------------------- variants


@dataclasses.dataclass(frozen=True)
class Variant:
    reranker: LambdaRank = dataclasses.field(default_factory=LambdaRank)
    negatives: Negatives = DEFAULT_NEGATIVES
    n_windows: int = 2  # to learn from, beside the one that judges
    cold_share: float = 0.0


def _with(**settings: object) -> Variant:
    return Variant(reranker=LambdaRank(**settings))


BINARY = {"objective": "binary"}
VARIANTS = {
    "default": Variant(),
    "objective rank_xendcg": _with(objective="rank_xendcg"),
    "objective binary": _with(objective="binary"),
    "negatives 30": Variant(negatives=Negatives(at_most=30)),
    "negatives 300": Variant(negatives=Negatives(at_most=300)),
    "negatives 1000 all": Variant(negatives=Negatives(1.0, 10, 1_000)),
    "negatives 3 per positive": Variant(negatives=Negatives(0.0, 3, 1_000)),
    "windows 1": Variant(n_windows=1),
    "windows 3": Variant(n_windows=3),
    "windows 4": Variant(n_windows=4),
    "cold 0.05": Variant(cold_share=0.05),
    "cold 0.1": Variant(cold_share=0.1),
    "cold 0.2": Variant(cold_share=0.2),
    "cold 0.5": Variant(cold_share=0.5),
    "models 3": _with(n_models=3),
    "models 5": _with(n_models=5),
    "models 3 of windows": Variant(LambdaRank(n_models=3, vary="windows"), n_windows=3),
    "trees slow": _with(learning_rate=0.05, n_trees=1200, patience=60),
    "trees 31 leaves": _with(n_leaves=31),
}


def fit_variants(folder: Path, seeds: list[int], only: list[str] | None) -> None:
    """Grow the trees of each variant and seed that is not there yet."""
    facts = json.loads((folder / "facts.json").read_text())
    validation = _read(folder / "window-0.npz")
    older = [_read(folder / f"window-{index}.npz") for index in range(1, N_WINDOWS)]
    cold = [_read(folder / f"cold-{index}.npz") for index in range(1, N_WINDOWS)]
    cut = _read(folder / "cold-0.npz")
    assert validation is not None
    for name, variant in VARIANTS.items():
        if only and not any(name.startswith(start) for start in only):
            continue
        for seed in seeds:
            path = folder / f"{name.replace(' ', '_')}-{seed}.npz"
            if path.exists():
                continue
            begun = time.perf_counter()
            scores, models = _scores(variant, facts["names"], older, cold, validation, seed)
            seconds = time.perf_counter() - begun
            values = _judge(validation, scores)
            # The freshest users once more, as if they were new: no model has chosen by them.
            new = np.zeros(0)
            if cut is not None:
                new = np.mean(
                    [_judge(cut, m.predict(cut.features, n_threads=2)) for m in models], 0
                )
            n_trees = np.mean([model.n_trees for model in models])
            np.savez(path, values=values, new=new, n_trees=n_trees, seconds=seconds)
            print(
                f"{folder.name} {name} seed {seed}: {values.mean():.4f}, {seconds:.0f} s",
                flush=True,
            )


def report(folders: list[Path], seeds: list[int]) -> None:
    """Each variant against the default, over the same users, means of the seeds."""
    few_of, first = [], []
    for folder in folders:
        facts = json.loads((folder / "facts.json").read_text())
        table = _read(folder / "window-0.npz")
        assert table is not None
        few_of.append(table.n_events <= 2)
        first.append(
            {
                name: _judge(
                    table,
                    first_stage_scores(name, facts["sources"], table.rank, fill=facts["fill"]),
                )
                for name in (*facts["sources"], FUSION)
            }
        )
    systems = {name: np.concatenate([values[name] for values in first]) for name in first[0]}
    best = max(systems, key=lambda system: systems[system].mean())
    few = np.concatenate(few_of)
    print(
        f"{folders[0].name}: {facts['holdout']}, {len(folders)} origins, {len(few)} users, "
        f"{few.sum()} of them with 0 to 2 events before; best first stage {best} "
        f"{systems[best].mean():.4f}; seeds {seeds}"
    )
    base: np.ndarray | None = None
    base_new: np.ndarray | None = None
    for name in VARIANTS:
        paths = [
            [folder / f"{name.replace(' ', '_')}-{seed}.npz" for folder in folders]
            for seed in seeds
        ]
        if not all(path.exists() for row in paths for path in row):
            continue
        archives = [[np.load(path) for path in row] for row in paths]
        values = np.mean([np.concatenate([a["values"] for a in row]) for row in archives], axis=0)
        base = values if base is None else base
        apart = paired_interval(values, base)
        n_trees, seconds = (
            float(np.mean([archive[what] for row in archives for archive in row]))
            for what in ("n_trees", "seconds")
        )
        line = (
            f"{name:26s} {values.mean():.4f}  {apart.difference:+.4f} "
            f"[{apart.low:+.4f}, {apart.high:+.4f}]  {n_trees:5.0f} trees {seconds:5.0f} s"
        )
        if few.sum() >= 20:
            cut = paired_interval(values[few], base[few])
            line += (
                f"   few events {values[few].mean():.4f} {cut.difference:+.4f} "
                f"[{cut.low:+.4f}, {cut.high:+.4f}]"
            )
        new = np.mean([np.concatenate([a["new"] for a in row]) for row in archives], axis=0)
        if len(new) >= 20:
            base_new = new if base_new is None else base_new
            cut = paired_interval(new, base_new)
            line += (
                f"   cut short {new.mean():.4f} {cut.difference:+.4f} "
                f"[{cut.low:+.4f}, {cut.high:+.4f}]"
            )
        print(line)


def _scores(
    variant: Variant,
    names: list[str],
    older: list[LabelledTable | None],
    cold: list[LabelledTable | None],
    validation: LabelledTable,
    seed: int,
) -> tuple[np.ndarray, list[FittedLambdaRank]]:
    tables = []
    for table, new in list(zip(older, cold, strict=True))[: variant.n_windows]:
        if table is None:
            continue
        parts = [thin_out(table, seed, variant.negatives)]
        if new is not None and variant.cold_share:
            rng = np.random.default_rng(seed)
            chosen = rng.random(new.n_groups) < variant.cold_share / COLD_SHARE
            if chosen.any():
                parts.append(thin_out(new.groups(chosen), seed, variant.negatives))
        tables.append(LabelledTable.concatenate(parts))
    half = np.random.default_rng(99).random(validation.n_groups) < 0.5
    scores, models = np.zeros(validation.n_rows, np.float32), []
    for chooses in (half, ~half):
        judged = np.repeat(~chooses, np.diff(validation.indptr))
        model = variant.reranker.fit(
            tables, names, validation=validation.groups(chooses), random_state=seed, n_threads=2
        )
        scores[judged] = model.predict(validation.features[judged], n_threads=2)
        models.append(model)
    return scores, models


def _judge(table: LabelledTable, scores: np.ndarray) -> np.ndarray:
    return graded_ndcg(table, scores, k=10, gains=(0, 1))


# ------------------------------------------------------------------- the gate


def judge_gate(folder: Path, seeds: list[int]) -> None:
    """What each gate would serve, chosen on one half of the users, judged on the other."""
    facts = json.loads((folder / "facts.json").read_text())
    validation = _read(folder / "window-0.npz")
    older = [_read(folder / f"window-{index}.npz") for index in range(1, N_WINDOWS)]
    cold = [None] * len(older)
    assert validation is not None
    firsts = {
        system: first_stage_scores(system, facts["sources"], validation.rank, fill=facts["fill"])
        for system in (*facts["sources"], FUSION)
    }
    values = {system: _judge(validation, scores) for system, scores in firsts.items()}
    for seed in seeds:
        scores, _ = _scores(Variant(), facts["names"], older, cold, validation, seed)
        values["two-stage"] = _judge(validation, scores)
        served: dict[str, np.ndarray] = {
            m: np.zeros(validation.n_groups) for m in ("warn", "fallback", "blend")
        }
        half = np.random.default_rng(seed).random(validation.n_groups) < 0.5
        for chooses in (half, ~half):
            best = max(firsts, key=lambda system: values[system][chooses].mean())
            for weight in WEIGHTS:
                blended = Blend(best, weight).scores(scores, firsts[best], validation.indptr)
                values[f"blend {weight}"] = _judge(validation, blended)
            served["warn"][~chooses] = values["two-stage"][~chooses]
            for mode, systems in (
                ("fallback", ["two-stage", best]),
                ("blend", ["two-stage", best, *(f"blend {w}" for w in WEIGHTS)]),
            ):
                winner = max(systems, key=lambda system: values[system][chooses].mean())
                served[mode][~chooses] = values[winner][~chooses]
                print(f"seed {seed}: {mode} would serve {winner}")
        for mode, found in served.items():
            apart = paired_interval(found, served["warn"])
            print(
                f"{folder.name} seed {seed} gate {mode}: {found.mean():.4f} "
                f"{apart.difference:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]"
            )


# ------------------------------------------------------------- several forests


def judge_forests(folder: Path, seeds: list[int]) -> None:
    """Three ways to put the scores of several forests together."""
    facts = json.loads((folder / "facts.json").read_text())
    validation = _read(folder / "window-0.npz")
    older = [_read(folder / f"window-{index}.npz") for index in (1, 2)]
    assert validation is not None
    tables = [thin_out(table, 0, Negatives()) for table in older if table is not None]
    group = np.repeat(np.arange(validation.n_groups), np.diff(validation.indptr))
    parts: dict[str, list[np.ndarray]] = {"forest": [], "user": [], "rank": []}
    for seed in seeds:
        model = LambdaRank().fit(
            tables, facts["names"], validation=validation, random_state=seed, n_threads=2
        )
        scores = model.predict(validation.features, n_threads=2).astype(np.float64)
        mean, spread = _moments(scores, group, validation.n_groups)
        parts["forest"].append(scores / np.sqrt(np.mean((scores - mean[group]) ** 2)))
        parts["user"].append((scores - mean[group]) / np.maximum(spread[group], 1e-9))
        order = np.lexsort((-scores, group))
        rank = np.empty(len(scores), np.int64)
        rank[order] = np.arange(len(scores)) - validation.indptr[group]
        parts["rank"].append(1.0 / (60 + rank))
        single = _judge(validation, scores.astype(np.float32))
        print(f"{folder.name}, forest of seed {seed}: {single.mean():.4f}")
    values = {
        name: _judge(validation, np.mean(scores, axis=0).astype(np.float32))
        for name, scores in parts.items()
    }
    for name, found in values.items():
        apart = paired_interval(found, values["forest"])
        print(
            f"{folder.name}, blended by {name}: {found.mean():.4f} {apart.difference:+.4f} "
            f"[{apart.low:+.4f}, {apart.high:+.4f}], seeds {seeds}"
        )


def _moments(scores: np.ndarray, group: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    n = np.maximum(np.bincount(group, minlength=n_groups), 1)
    mean = np.bincount(group, scores, minlength=n_groups) / n
    return mean, np.sqrt(np.bincount(group, (scores - mean[group]) ** 2, minlength=n_groups) / n)


def _load(name: str, folder: str) -> Dataset:
    if name == "complete-journey":
        return load_complete_journey()
    return load_folder(Path(folder) / name)


if __name__ == "__main__":
    main()
