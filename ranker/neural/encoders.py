"""Networks that turn the attributes of items and users into vectors."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

import torch
from torch import nn
from torch.nn import functional

from features.arrays import BoolArray
from ranker.neural.item_features import Feature, Features

TextEncoder: TypeAlias = Literal["bag", "cnn", "gru"]

_RUN = 2048  # items encoded at a time
_CNN_WIDTHS = (2, 3, 4)


class FeatureEncoder(nn.Module):
    """Vectors from the features of one table: their mean, and what a network adds to it.

    Parameters
    ----------
    features : Features
    width : int
        Length of the vectors.
    text : "bag", "cnn" or "gru"
        How texts are read.
    """

    def __init__(self, features: Features, width: int, text: TextEncoder) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_One(feature, width, text) for feature in features)
        n = len(features)
        self.together = (
            nn.Sequential(nn.Linear(n * width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            if n > 1
            else None
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows of the table, int64 [n] -> float32 [n, width]."""
        vectors = [part(rows) for part in self.parts]
        if self.together is None:
            first: torch.Tensor = vectors[0]
            return first
        mixed: torch.Tensor = self.together(torch.cat(vectors, -1))
        return mixed + torch.stack(vectors).mean(0)


class ItemEncoder(nn.Module):
    """Vectors of items from their ids and their attributes.

    Parameters
    ----------
    features : FeatureEncoder or None
    has_id : bool array [n_items], optional
        Items whose id tells something, those with events; of the others the attributes alone
        speak. Default: no ids.
    width : int
    id_dropout : float
        Share of the items whose id is passed over in a step of the training, so that attributes
        learn to do without it (Volkovs, Yu, Poutanen: DropoutNet, NIPS 2017).
    is_mixed : bool
        Ids and attributes go through a network together, instead of being added.
    """

    def __init__(
        self,
        features: FeatureEncoder | None,
        has_id: BoolArray | None,
        width: int,
        *,
        id_dropout: float = 0.0,
        is_mixed: bool = False,
    ) -> None:
        super().__init__()
        self.features = features
        self.ids = None
        if has_id is not None:
            self.ids = nn.Embedding(len(has_id), width)
            nn.init.normal_(self.ids.weight, std=width**-0.5 / 2)
            self.register_buffer("has_id", torch.from_numpy(has_id).float(), persistent=False)
        self.id_dropout = id_dropout
        self.mix = None
        if is_mixed and features is not None and self.ids is not None:
            self.mix = nn.Sequential(
                nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Row numbers of items, int64 [n] -> float32 [n, width]."""
        if self.ids is None:
            assert_features: FeatureEncoder = self.features  # type: ignore[assignment]
            alone: torch.Tensor = assert_features(rows)
            return alone
        has_id: torch.Tensor = self.has_id  # type: ignore[assignment]
        is_read = has_id[rows]
        if self.training and self.features is not None and self.id_dropout:
            is_read = is_read * (torch.rand(len(rows), device=rows.device) >= self.id_dropout)
        by_id: torch.Tensor = self.ids(rows) * is_read[:, None]
        if self.features is None:
            return by_id
        by_content = self.features(rows)
        total: torch.Tensor = by_id + by_content
        return total if self.mix is None else total + self.mix(torch.cat((by_id, by_content), -1))


class Remembered(nn.Module):
    """An encoder that, once it does not learn any more, encodes every item once.

    So an item's vector is the same in whatever company it is asked for, to the last bit.
    """

    def __init__(self, encoder: nn.Module, n_items: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.n_items = n_items
        self._table: torch.Tensor | None = None

    def train(self, mode: bool = True) -> Self:  # noqa: FBT002 - torch's own signature
        """Turn to learning, or from it; what is remembered is forgotten."""
        self._table = None
        return super().train(mode)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Row numbers of items, int64 [...] -> vectors [..., width]."""
        if self.training:
            vectors: torch.Tensor = self.encoder(rows)
            return vectors
        if self._table is None:
            with torch.no_grad():
                runs = torch.arange(self.n_items, device=rows.device).split(_RUN)  # type: ignore[no-untyped-call]
                self._table = torch.cat([self.encoder(run) for run in runs])
        return functional.embedding(rows, self._table)


class _One(nn.Module):
    """The vector of one feature; zeros where nothing is known."""

    def __init__(self, feature: Feature, width: int, text: TextEncoder) -> None:
        super().__init__()
        self.register_buffer("values", torch.from_numpy(feature.values), persistent=False)
        is_known = torch.from_numpy(feature.is_known).float()
        self.register_buffer("is_known", is_known, persistent=False)
        self.network = _network(feature, width, text)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.values  # type: ignore[assignment]
        is_known: torch.Tensor = self.is_known  # type: ignore[assignment]
        out: torch.Tensor = self.network(values[rows]) * is_known[rows, None]
        return out


def _network(feature: Feature, width: int, text: TextEncoder) -> nn.Module:
    if feature.kind == "image":
        return _Pictures(feature.values.shape[1:], width)
    if feature.kind in ("numeric", "vector"):
        wide = feature.values.shape[1]
        return nn.Linear(wide, width)
    if feature.kind == "text" and text == "cnn":
        return _Convolution(feature.n_codes, width)
    if feature.kind == "text" and text == "gru":
        return _Recurrence(feature.n_codes, width)
    return _Bag(feature.n_codes, width)


class _Bag(nn.Module):
    def __init__(self, n_codes: int, width: int) -> None:
        super().__init__()
        self.words = _embedding(n_codes, width)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        # Most places of the rectangle are blank: the words alone, one item behind the other.
        is_word = codes > 0
        n = is_word.sum(1)
        out: torch.Tensor = functional.embedding_bag(
            codes[is_word], self.words.weight, n.cumsum(0) - n, mode="mean"
        )
        return out


class _Convolution(nn.Module):
    """Kim: Convolutional neural networks for sentence classification (EMNLP 2014)."""

    def __init__(self, n_codes: int, width: int) -> None:
        super().__init__()
        self.words = _embedding(n_codes, width)
        self.filters = nn.ModuleList(_WordFilter(width, width, size) for size in _CNN_WIDTHS)
        self.out = nn.Linear(len(_CNN_WIDTHS) * width, width)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        # Behind the text as many blanks as the widest filter needs; nobody else's length matters.
        codes = functional.pad(codes, (1, max(_CNN_WIDTHS) - 1))
        read = self.words(codes)
        found = [functional.relu(one(read)).amax(1) for one in self.filters]
        out: torch.Tensor = self.out(torch.cat(found, 1))
        return out


class _WordFilter(nn.Conv1d):
    """A convolution over [n, length, channels], by matrix products.

    Those of oneDNN differ in their last bits with the number of threads on some processors.
    """

    def forward(self, read: torch.Tensor) -> torch.Tensor:
        size = self.kernel_size[0]
        length = read.shape[1] - size + 1
        out: torch.Tensor = self.bias  # type: ignore[assignment]  # there is one
        for place in range(size):
            weighted = functional.linear(read, self.weight[:, :, place])
            out = out + weighted[:, place : place + length]
        return out


class _Recurrence(nn.Module):
    def __init__(self, n_codes: int, width: int) -> None:
        super().__init__()
        self.words = _embedding(n_codes, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, width)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.gru(self.words(codes))
        last = ((codes > 0).sum(1) - 1).clamp(min=0)
        out: torch.Tensor = self.out(hidden[torch.arange(len(codes), device=codes.device), last])
        return out


class _Pictures(nn.Module):
    """Convolutions that halve the image until about 4 x 4 places are left."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, smaller = shape[0], min(shape[1:])
        wide = 16
        while smaller >= 8 and wide <= 64:
            layers += [_PixelFilter(channels, wide, 3), nn.ReLU(), nn.MaxPool2d(2)]
            channels, smaller, wide = wide, smaller // 2, 2 * wide
        layers += [_PixelFilter(channels, wide, 3), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(min(4, smaller)), nn.Flatten()]
        layers += [nn.Linear(wide * min(4, smaller) ** 2, width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.dtype == torch.uint8:
            images = images.float() / 127.5 - 1.0
        out: torch.Tensor = self.layers(images)
        return out


class _PixelFilter(nn.Conv2d):
    """A convolution over images that keeps their size, by matrix products as above."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        size = self.kernel_size[0]
        around = functional.unfold(images, size, padding=size // 2).transpose(1, 2)
        out = functional.linear(around, self.weight.flatten(1), self.bias)
        return out.transpose(1, 2).reshape(len(images), -1, height, width)


def _embedding(n_codes: int, width: int) -> nn.Embedding:
    table = nn.Embedding(n_codes, width, padding_idx=0)
    nn.init.normal_(table.weight, std=width**-0.5)
    with torch.no_grad():
        table.weight[0] = 0.0
    return table
