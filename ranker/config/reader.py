"""Takes values out of a parsed TOML file and keeps account of everything that is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from features.errors import ConfigError
from ranker.addresses import shown
from ranker.config.kinds import Kind


class Section:
    """One section of a file; ``problems`` grows with every value that cannot be accepted.

    Parameters
    ----------
    name : str
    content : object
        What the file has under the name; None where it has nothing.
    """

    def __init__(self, name: str, content: object) -> None:
        self.name = name
        self.problems: list[str] = []
        self.known: list[str] = []
        self._values: dict[str, Any] = {}
        if isinstance(content, dict):
            self._values = content
        elif content is not None:
            self.problems.append(f"{name} = {shown(content)}: expected a section, [{name}]")

    @property
    def given(self) -> set[str]:
        """The keys that the file has here."""
        return set(self._values)

    def take(self, key: str, kind: Kind[Any], default: Any = None) -> Any:
        """Return the parsed value of a key, or the default where there is none to accept."""
        self.known.append(key)
        if key not in self._values:
            return default
        try:
            parsed = kind.parse(self._values[key])
        except ConfigError as error:
            self.report(f"{key}: {error}")
            return default
        if parsed is None:
            self.report(f"{key} = {shown(self._values[key])}: expected {kind.expected}")
            return default
        return parsed

    def report(self, problem: str) -> None:
        """Add a problem of this section."""
        self.problems.append(f"[{self.name}] {problem}")


def unknown_names(content: Mapping[str, object], sections: Iterable[Section]) -> list[str]:
    """Problems: sections and keys of the file that nobody asked for, with the nearest known."""
    by_name = {section.name: section for section in sections}
    problems = [
        f"[{name}]: no such section; {_nearest(name, by_name)}"
        for name in content
        if name not in by_name
    ]
    for section in by_name.values():
        for key in sorted(section.given.difference(section.known)):
            homes = [f"[{other.name}]" for other in by_name.values() if key in other.known]
            where = f"it belongs to {' or '.join(homes)}" if homes else _nearest(key, section.known)
            problems.append(f"[{section.name}] {key}: no such key; {where}")
    return problems


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"the nearest is {near[0]!r}" if near else f"expected {', '.join(names)}"
