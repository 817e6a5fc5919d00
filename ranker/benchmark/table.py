"""What a run of protocols prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from ranker.benchmark.outcome import Outcome
from ranker.benchmark.protocols import PROTOCOLS
from ranker.text import count, format_table, hanging

_OURS = "*"
_POPULAR = "popular"


def format_outcome(outcome: Outcome) -> str:
    """Our systems between those of others.

    Of ours there are the one that is served, the best of the others and the popular list; the
    outcome has them all.
    """
    protocol = outcome.definition
    title = hanging(f"{protocol.name}: {protocol.text}", indent=2)
    if outcome.status != "done":
        return f"{title}\n{hanging(f'{outcome.status}: {outcome.error}', indent=2)}"
    is_ours = pl.col("source").is_null()
    table = outcome.frame().filter(~is_ours | pl.col("system").is_in(_shown(outcome)))
    table = table.select(
        pl.when(is_ours).then(pl.lit(_OURS)).otherwise(pl.lit("")).alias(_OURS),
        "system",
        *protocol.metrics,
        pl.Series("served minus it", [_interval(row) for row in table.iter_rows(named=True)]),
        pl.col("source").fill_null("").alias("source"),
    )
    memory = "" if outcome.peak_gb is None else f", peak {outcome.peak_gb:.2f} GB"
    preset = "" if protocol.rates else f"preset {outcome.preset}, "
    facts = (
        f"{_OURS} ours; {preset}seed {outcome.random_state}, {count(outcome.n_users, 'user')}, "
        f"{count(outcome.n_splits, 'split')}, "
        f"{outcome.seconds:.0f} s{memory}"
    )
    return f"{title}\n{format_table(table)}\n{facts}"


def format_overview(outcomes: Iterable[Outcome]) -> str:
    """One line for each protocol: ours, the best of others, and what was missing or failed."""
    rows = []
    for outcome in outcomes:
        metric = outcome.definition.metrics[0]
        ours = next((row for row in outcome.systems if row["system"] == outcome.reference), {})
        known = [row for row in outcome.published if metric in row.figures]
        best = known[0] if known else None
        rows.append(
            {
                "protocol": outcome.protocol,
                "metric": metric,
                "ours": ours.get(metric),
                "best of others": None if best is None else best.figures[metric],
                "system": "" if best is None else best.system,
                "seconds": round(outcome.seconds) if outcome.systems else None,
                "status": f"{outcome.status}{': ' if outcome.error else ''}{outcome.error}",
            }
        )
    schema = {
        "protocol": pl.String,
        "metric": pl.String,
        "ours": pl.Float64,
        "best of others": pl.Float64,
        "system": pl.String,
        "seconds": pl.Int64,
        "status": pl.String,
    }
    return format_table(pl.DataFrame(rows, schema=schema))


def format_protocols() -> str:
    """What ``ranker benchmark --list`` prints."""
    return format_table(
        pl.DataFrame(
            {
                "protocol": list(PROTOCOLS),
                "metrics": [", ".join(one.metrics) for one in PROTOCOLS.values()],
                "what": [one.text for one in PROTOCOLS.values()],
            }
        ),
        width=140,
    )


def _shown(outcome: Outcome) -> list[str]:
    names = [row["system"] for row in outcome.systems]
    # "two-stage" differs from what is served for users without events only: not another system.
    others = [name for name in names if name not in (outcome.reference, "two-stage")]
    return [outcome.reference, *others[:1], _POPULAR]


def _interval(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return ""
    ends = f"[{row['difference_low']:+.4f}, {row['difference_high']:+.4f}]"
    return f"{row['difference']:+.4f} {ends}"
