"""What a user takes next, from the order of what he took and from what the items are."""

from __future__ import annotations

from dataclasses import dataclass

from ranker.neural import losses
from ranker.neural.hybrid import HybridItems
from ranker.neural.sequence import OrderedHistory


@dataclass(kw_only=True)
class SequenceHybrid(HybridItems, OrderedHistory):
    """A sequence model over items that are known by id and content, new ones by content alone.

    Directions are compared: without that the vectors of many words outweigh those of few.

    Parameters
    ----------
    columns, encoder, id_dropout, max_words, max_vocabulary
        See :class:`ranker.neural.hybrid.HybridItems`.
    architecture, n_layers, n_heads, dropout, time_gaps
        See :class:`ranker.neural.sequence.OrderedHistory`.
    """

    id_dropout: float = 0.2
    loss: losses.Loss = "softmax"
    n_negatives: int | None = None
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    averaging: float = 0.998
