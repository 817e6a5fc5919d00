"""What was learned, as it comes from a file, against what the source may have learned.

Compiled kernels read what row numbers point at, whatever is there: a file that was forged, or that
belongs to another log, must not make them read elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.arrays import AnyArray
from features.errors import ModelFormatError

_DTYPES = {
    **dict.fromkeys(("item_", "indices_", "codes_"), "i4"),
    **dict.fromkeys(("score_", "vectors_", "count_", "data_", "user_vectors_", "takers_"), "f4"),
    **dict.fromkeys(("half_life_ticks_", "recent_ticks_"), "f8"),
    **dict.fromkeys(("n_items_", "n_columns_", "old_"), "i8"),
    "keys_": "u8",
    "similarity_.data": "f4",
    "similarity_.indices": "i4",
}
_NUMBERS = {"n_items_", "n_columns_", "half_life_ticks_", "recent_ticks_"}


def check_restored(source: str, arrays: Mapping[str, AnyArray], n_items: int) -> None:
    """Make sure that the arrays of one of our sources fit each other and the catalogue.

    Parameters
    ----------
    source : str
        What the message calls it.
    arrays : mapping of name to array
        As :meth:`Generator.arrays` names them; of other names nothing is known.
    n_items : int
        Items of the history.

    Raises
    ------
    ModelFormatError
        With the array that cannot be.
    """

    def refuse(name: str, problem: str) -> None:
        raise ModelFormatError(
            f"what {source} learned does not fit the model: {name} {problem}; copy the directory "
            f"again or fit the model again"
        )

    for name, array in arrays.items():
        dtype = _DTYPES.get(name)
        if dtype is not None and array.dtype != np.dtype(dtype):
            refuse(name, f"is {array.dtype}, not {np.dtype(dtype)}")
        if name in _NUMBERS and (array.ndim or array <= 0):  # NaN: of no matter, without a clock
            refuse(name, "is no number above zero")
    if int(arrays.get("n_items_", n_items)) != n_items:
        refuse("n_items_", f"is {arrays['n_items_']}, not {n_items}")
    for name in ("item_", "old_"):
        if name in arrays and not _within(arrays[name], n_items):
            refuse(name, f"has rows of items that are none of the {n_items}")
    n_rows = len(arrays["item_"]) if "item_" in arrays else n_items
    n_factors = arrays["vectors_"].shape[-1] if arrays.get("vectors_", np.zeros(())).ndim else 0
    for name, shape in {
        "score_": (n_rows,),
        "vectors_": (n_rows, n_factors),
        "takers_": (n_items, n_factors),
        "user_vectors_": (arrays.get("keys_", np.zeros(0)).size, n_factors),
    }.items():
        if name in arrays and arrays[name].shape != shape:
            refuse(name, f"has the shape {arrays[name].shape}, not {shape}")
    if "codes_" in arrays and not _within(arrays["codes_"], n_factors, n_dimensions=2):
        refuse("codes_", "has segments that are none of those counted")
    for data, indices, indptr, n_columns, n in (
        *(("similarity_.data", "similarity_.indices", "similarity_.indptr", n_items, n_items),),
        *(("data_", "indices_", "indptr_", arrays.get("n_columns_", 0), n_items),),
        *(("count_", "item_", "indptr_", n_items, None),),
    ):
        if data in arrays and not (
            arrays[data].shape == arrays[indices].shape
            and _within(arrays[indices], int(n_columns))
            and _divides(arrays[indptr], len(arrays[data]), n)
        ):
            refuse(data, f"and {indices} and {indptr} are no sparse matrix of the catalogue")


def _within(rows: AnyArray, n: int, *, n_dimensions: int = 1) -> bool:
    return rows.ndim == n_dimensions and bool(((rows >= 0) & (rows < n)).all())


def _divides(indptr: AnyArray, n_values: int, n_rows: int | None) -> bool:
    if indptr.ndim != 1 or not len(indptr) or indptr.dtype not in (np.int32, np.int64):
        return False
    is_long_enough = n_rows is None or len(indptr) == n_rows + 1
    is_rising = bool((np.diff(indptr) >= 0).all())
    return bool(is_long_enough and is_rising and indptr[0] == 0 and indptr[-1] == n_values)
