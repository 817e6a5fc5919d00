"""Numbers as people read them."""

from __future__ import annotations

_MINUS, _NONE = "\N{MINUS SIGN}", "\N{EN DASH}"


def number(value: float | None, digits: int = 4) -> str:
    """``0.4265``; a dash where there is none.

    Examples
    --------
    >>> number(0.42651), number(None), number(-0.5, 1)
    ('0.4265', '–', '−0.5')
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return _NONE
    return _minus(f"{value:.{digits}f}")


def p_value(value: float | None) -> str:
    """Three digits; never 0, which no p-value is.

    Examples
    --------
    >>> p_value(0.0421), p_value(1e-9), p_value(None)
    ('0.042', '< 0.001', '–')
    """
    return "< 0.001" if value is not None and value < 0.0005 else number(value, 3)


def signed(value: float | None, digits: int = 4) -> str:
    """``+0.0181``; zero has no sign.

    Examples
    --------
    >>> signed(0.0181), signed(-0.00001)
    ('+0.0181', '0.0000')
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return _NONE
    if float(f"{value:.{digits}f}") == 0:
        return number(0.0, digits)
    return _minus(f"{value:+.{digits}f}")


def interval(low: float | None, high: float | None, *, is_signed: bool = False) -> str:
    """``[0.4135, 0.4400]``; nothing where there is none."""
    if low is None or high is None:
        return ""
    write = signed if is_signed else number
    return f"[{write(low)}, {write(high)}]"


def percent(share: float | None, digits: int = 1) -> str:
    """``38.4 %``, with a space at which no line breaks.

    Examples
    --------
    >>> percent(0.384).split(), percent(1, 0).split()
    (['38.4', '%'], ['100', '%'])
    """
    text = number(None if share is None else 100 * share, digits)
    return text if text == _NONE else f"{text}\N{NO-BREAK SPACE}%"


def listing(names: list[str]) -> str:
    """``a, b and c``.

    Examples
    --------
    >>> listing(["a", "b", "c"]), listing(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _minus(text: str) -> str:
    return text.replace("-", _MINUS)
