"""What every candidate generator does, and how its parameters and arrays are kept."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from scipy import sparse

from features.arrays import AnyArray, Float32Array, FrameLike, Int32Array
from features.errors import NotFittedError
from features.history import History
from ranker.arguments import check_count, check_flag
from ranker.border import Border, UserIds
from ranker.candidates.growth import Growth
from ranker.parallel import map_chunks

_CHUNK = 1024  # users whose lists are made at a time


@dataclass(frozen=True)
class Retrieved:
    """The best items of each user by one source, best first.

    Attributes
    ----------
    item : int32 array [n_users, n]
        Item row numbers; -1 behind the last proposal of a user.
    score : float32 array [n_users, n]
        Descending; NaN behind the last proposal. Equal scores stand in the order of item ids.
    """

    item: Int32Array
    score: Float32Array

    @classmethod
    def empty(cls, n_users: int, n: int) -> Retrieved:
        """No proposals."""
        return cls(np.full((n_users, n), -1, np.int32), np.full((n_users, n), np.nan, np.float32))


class Generator(ABC):
    """A source of candidates: learns from a snapshot's history, proposes items for histories.

    A generator knows a user by his events alone. So the users of the log, new ones and sessions
    that are handed in take the same way, and nothing of the future can hide in a user's vector.

    Subclasses are dataclasses whose fields are the parameters; what ``fit`` learns is kept in
    attributes named in ``learned``: arrays or CSR matrices, so that they can be saved as such.
    """

    learned: ClassVar[tuple[str, ...]] = ()
    # Whether it has nothing to propose but what the user took before.
    lists_seen: ClassVar[bool] = False
    # Whether label windows to learn from that know nearly the same share what one of them learned:
    # for what learns slowly, and reads later events as it reads those that it learned from.
    is_shared: ClassVar[bool] = False

    def fit(
        self,
        interactions: History | FrameLike,
        *,
        items: FrameLike | None = None,
        users: FrameLike | None = None,
    ) -> Self:
        """Learn from the events of a snapshot, or, for use alone, from a caller's frame.

        Parameters
        ----------
        interactions : History, or DataFrame or LazyFrame
            A frame as :meth:`ranker.TwoStageRecommender.fit` takes it; :meth:`recommend` then
            serves its users.
        items, users : DataFrame or LazyFrame, optional
            Attributes. Beside a history: one row per row number of ``history.items`` and
            ``history.users``.

        Returns
        -------
        self

        Raises
        ------
        SchemaError
            With every problem of a frame.
        """
        # A fit that fails leaves nothing that the ids of another log would be read by.
        self._border: Border | None = None
        border = None
        if not isinstance(interactions, History):
            border, items, users = Border.open(interactions, items=items, users=users)
            interactions = border.history
        tables = {
            name: None if table is None else table.lazy().collect()
            for name, table in (("items", items), ("users", users))
        }
        self._learn(interactions, **tables)
        self._border = border
        return self

    def recommend(
        self,
        user_ids: UserIds | None = None,
        *,
        histories: FrameLike | None = None,
        k: int = 10,
        exclude_seen: bool | None = None,
    ) -> pl.DataFrame:
        """The lists of this generator alone.

        Parameters
        ----------
        user_ids : Series or sequence, optional
            Known or not. Default: everybody of the log.
        histories : DataFrame or LazyFrame, optional
            Instead of ids: interactions that are all that is to be known of their users.
        k : int
        exclude_seen : bool, optional
            Leave out what the user took before. Default: so it is, unless the generator has
            nothing else to propose, as :class:`OwnHistory`.

        Returns
        -------
        DataFrame
            user_id, item_id, rank (Int64, 1 = best), score (Float32); at most ``k`` rows per
            user, none for whom the generator knows nothing to propose.

        Raises
        ------
        NotFittedError
            Unless the generator was fitted on a frame.
        """
        border = self._known()
        check_count(k=k)
        check_flag(exclude_seen=exclude_seen)
        exclude = not self.lists_seen if exclude_seen is None else exclude_seen
        history = border.asked(user_ids, histories)
        n = min(k, history.n_items)
        found = [
            Retrieved.empty(0, n),
            *map_chunks(
                lambda _, part: self.retrieve(part, n, exclude_seen=exclude),
                *(history, _CHUNK, 0),
                description="recommend",
            ),
        ]
        item = np.concatenate([one.item for one in found])
        score = np.concatenate([one.score for one in found])
        user, place = np.nonzero(item >= 0)
        return border.for_caller(
            pl.DataFrame(
                {
                    "user_id": history.users.decode(user),
                    "item_id": history.items.decode(item[user, place]),
                    "rank": place + 1,
                    "score": score[user, place],
                }
            )
        )

    @abstractmethod
    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Learn from the events of a snapshot; set everything that ``learned`` names.

        Parameters
        ----------
        history : History
        items, users : DataFrame or None
            Attributes, one row per row number of ``history.items`` and ``history.users``.
        """

    def refreshed(
        self, growth: Growth, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> Self:
        """The generator of a later history; this one stays as it is.

        By default it is fitted anew. Where that takes long, subclasses take over what did not
        change, and say in their documentation by how much that differs.

        Parameters
        ----------
        growth : Growth
            From the history that this one learned from to the later one.
        items, users : DataFrame or None
            Attributes, one row per row number of the later history's items and users.
        """
        return self.unfitted(0).fit(growth.after, items=items, users=users)

    @abstractmethod
    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """Propose up to ``n`` items for each user of a history in the fitted catalogue.

        Parameters
        ----------
        history : History
            Whom to serve: the users' events up to now.
        n : int
        exclude_seen : bool
            Leave out the items of the user's own events.
        """

    @property
    def similarity(self) -> sparse.csr_matrix | None:
        """Item-item similarities, CSR [n_items, n_items], or None if the source has none."""
        return None

    @property
    def item_vectors(self) -> Float32Array | None:
        """Item embeddings, float32 [n_items, n_factors], or None; zeros for unknown items."""
        return None

    def user_vectors(self, history: History) -> Float32Array | None:
        """Embeddings of users by their events, float32 [n_users, n_factors], or None."""
        return None

    def unfitted(self, random_state: int) -> Self:
        """A fresh generator with the same parameters; an open ``random_state`` is filled in."""
        fields = {field.name for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        if "random_state" in fields and getattr(self, "random_state", None) is None:
            return dataclasses.replace(self, random_state=random_state)  # type: ignore[type-var]
        return dataclasses.replace(self)  # type: ignore[type-var]

    def parameters(self) -> dict[str, Any]:
        """The constructor's keywords, as JSON can hold them."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    def arrays(self) -> dict[str, AnyArray]:
        """Everything learned, as plain arrays; a CSR matrix becomes three of them."""
        arrays: dict[str, AnyArray] = {}
        for name in self.learned:
            value = self._get(name)
            if sparse.issparse(value):
                parts = {"data": value.data, "indices": value.indices, "indptr": value.indptr}
                arrays |= {f"{name}.{part}": array for part, array in parts.items()}
            else:
                arrays[name] = np.asarray(value)
        return arrays

    def restore(self, arrays: dict[str, AnyArray]) -> Self:
        """Take over what :meth:`arrays` gave."""
        for name in self.learned:
            if f"{name}.data" in arrays:
                data, indices, indptr = (
                    arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr")
                )
                n = len(indptr) - 1
                setattr(self, name, sparse.csr_matrix((data, indices, indptr), shape=(n, n)))
            else:
                setattr(self, name, arrays[name])
        return self

    def _known(self) -> Border:
        border: Border | None = getattr(self, "_border", None)
        if border is None:
            raise NotFittedError(
                f"{type(self).__name__} was not fitted on a frame; call fit(interactions) first"
            )
        return border

    def _get(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise NotFittedError(
                f"{type(self).__name__} is not fitted yet; call fit(history) first"
            ) from None


def refreshes_itself(generator: Generator) -> bool:
    """Whether its ``refreshed`` knows how it learns.

    One that was derived from a source of ours, and learns in its own way, has inherited a method
    that knows nothing of it.
    """
    learns, refreshes = (
        next(cls for cls in type(generator).__mro__ if name in vars(cls))
        for name in ("_learn", "refreshed")
    )
    return refreshes is Generator or issubclass(refreshes, learns)
