"""What came of a protocol."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from ranker.benchmark.protocols import Protocol, find_protocol
from ranker.benchmark.published import PUBLISHED, PublishedRow


@dataclass(frozen=True)
class Outcome:
    """One protocol, run or not.

    Attributes
    ----------
    protocol : str
    status : "done", "missing" or "failed"
    preset : str
    random_state : int
    error : str
        What is missing, or why it failed; otherwise empty.
    reference : str
        Which of our systems the others are compared with.
    systems : list of dict
        The rows of :func:`ranker.benchmark.judge.summary`.
    n_users, n_splits : int
        Users who were judged (each once, in however many splits), and splits.
    seconds : float
        Reading, fitting, listing and judging, without starting the process.
    peak_gb : float, optional
        Most resident memory of the process, in 2^30 bytes; None where the platform does not tell.
    choices : list of str
        What the engine found out and chose.
    """

    protocol: str
    status: Literal["done", "missing", "failed"]
    preset: str
    random_state: int
    error: str = ""
    reference: str = ""
    systems: list[dict[str, Any]] = field(default_factory=list)
    n_users: int = 0
    n_splits: int = 0
    seconds: float = 0.0
    peak_gb: float | None = None
    choices: list[str] = field(default_factory=list)

    @property
    def definition(self) -> Protocol:
        """What was run."""
        return find_protocol(self.protocol)

    @property
    def published(self) -> tuple[PublishedRow, ...]:
        """Figures of others."""
        return PUBLISHED.get(self.protocol, ())

    def frame(self) -> pl.DataFrame:
        """Our systems and those of others, best first.

        Returns
        -------
        DataFrame
            ``system``, a column for each metric, ``difference``, ``difference_low``,
            ``difference_high`` (our served lists minus the system, paired over users; null for the
            figures of others, whose users are not known), ``source`` (null for ours).
        """
        metrics = self.definition.metrics
        others = [
            {"system": row.system, "source": row.source, **row.figures} for row in self.published
        ]
        apart = ("difference", "difference_low", "difference_high")
        schema = {"system": pl.String} | dict.fromkeys([*metrics, *apart], pl.Float64)
        table = pl.DataFrame([*self.systems, *others], schema=schema | {"source": pl.String})
        return table.sort(
            metrics[0],
            descending=not self.definition.rates,
            nulls_last=True,
            maintain_order=True,
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON; the figures of others are with it."""
        others = [
            {"system": row.system, "source": row.source, **row.figures} for row in self.published
        ]
        what = {"text": self.definition.text, "metrics": list(self.definition.metrics)}
        return dataclasses.asdict(self) | what | {"published": others}
