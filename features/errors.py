"""The error tree of both packages.

Every error that a user can cause derives from :class:`RankerError`, so one ``except`` catches
them all, and from the closest built-in, so that code which knows nothing of us still works.
"""

from __future__ import annotations

from collections.abc import Sequence


class RankerError(Exception):
    """Base of all errors that this package raises on purpose."""


class SchemaError(RankerError, ValueError):
    """A frame does not fit its schema; ``problems`` lists everything that is wrong with it.

    Parameters
    ----------
    table : str
        What the frame is: ``"interactions"``, ``"items"``, ``"users"``...
    problems : sequence of str
        One sentence a problem, each with the column, the value and the remedy.
    """

    def __init__(self, table: str, problems: Sequence[str]) -> None:
        self.table = table
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{table}: {count} problem{'s' if count != 1 else ''}"
        super().__init__("\n".join([head, *(f"  - {problem}" for problem in self.problems)]))


class ConfigError(RankerError, ValueError):
    """A parameter or a configuration file asks for something that cannot be."""


class NotFittedError(RankerError, RuntimeError, AttributeError):
    """A method or an attribute that needs a fitted object was asked for before ``fit``.

    An ``AttributeError`` too, so that ``hasattr`` says False of what is only there after a fit.
    """


class MissingExtraError(RankerError, ImportError):
    """An optional dependency is not installed; the message names the pip command.

    Parameters
    ----------
    package : str
        The import name that is missing.
    extra : str
        The extra of this distribution that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; install it with: pip install 'twostage-ranker[{extra}]'"
        )


class ModelFormatError(RankerError, ValueError):
    """A saved model is incomplete, was changed, or is of a version that we cannot read."""


class ExportError(RankerError, RuntimeError):
    """An export cannot go on without mixing or losing data."""


class LeakError(RankerError, AssertionError):
    """A feature depends on what cannot be known where it is used.

    Parameters
    ----------
    block, feature : str
    instant : str
        Where the log was cut.
    user_id, item_id : id
        A row of the feature table whose value is not the same.
    values : pair of float
        Before and after the change; NaN = unknown.
    change : str
        What was done that no feature may notice, and the remedy.
    """

    def __init__(
        self,
        *,
        block: str,
        feature: str,
        instant: object,
        user_id: object,
        item_id: object,
        values: tuple[float, float],
        change: str,
    ) -> None:
        self.block, self.feature, self.instant = block, feature, instant
        self.user_id, self.item_id, self.values = user_id, item_id, values
        super().__init__(
            f"{block}: {feature!r} as of {instant} is {values[0]:g} for user {user_id!r} and item "
            f"{item_id!r}, and {values[1]:g} {change}"
        )
