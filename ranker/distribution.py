"""The installed distribution."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """Version of the distribution, or ``"unknown"`` in a checkout that is not installed."""
    try:
        return version("twostage-ranker")
    except PackageNotFoundError:
        return "unknown"
