"""What a user takes next, from the order of what he took and from what the items are."""

from __future__ import annotations

from dataclasses import dataclass

from ranker.neural.hybrid import HybridItemModel
from ranker.neural.sequence import OrderedHistoryModel


@dataclass(kw_only=True)
class SequenceHybrid(HybridItemModel, OrderedHistoryModel):
    """Items by ids and content, a user by what he took and in which order.

    The self-attention of SASRec (Kang, McAuley: ICDM 2018), or a GRU, over items of which those
    without events are encoded by their content alone (DropoutNet: Volkovs, Yu, Poutanen, NIPS
    2017). Directions are compared: the length of a mean of words falls with their number, and says
    nothing of an item. So new items compete with all others; where they are many, leave them out
    by ``min_events=1``, or give them a source of their own.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns of the item table; ``()`` for ids alone. Default: all whose values can be used.
    encoder : "bag", "cnn" or "gru"
        How texts are read.
    id_dropout : float
        Share of the items whose embedding is passed over in a step.
    max_words, max_vocabulary : int
        Words read of an item in a column, and different ones in it.
    architecture : "attention" or "gru"
    n_layers, n_heads, dropout, time_gaps
        See :class:`ranker.neural.SequenceEncoder`.
    """

    id_dropout: float = 0.2
    n_negatives: int | None = None
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    averaging: float = 0.998
