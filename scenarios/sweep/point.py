"""A point of a sweep: everything one run depends on, and the key that says so.

The key is the SHA-256 of the canonical JSON (sorted keys, no spaces, bytes and
seconds as plain numbers) of the arguments, defaults included, of the figures of
the machine, and of the version of the model. Two points
with one key are one run; a figure that is corrected in the catalogue is another.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topologies.description import MachineDescription

__all__ = ["Cluster", "Point", "canonical", "collective_defaults", "figures_digest"]

#: What a description says to people: none of it changes a run.
_WORDS = frozenset({"title", "vendor", "origin", "notes", "evidence", "source"})

#: Keywords of `sim.collective` that watch a run and do not change it.
_BESIDE = frozenset({"recorder"})


@dataclass(frozen=True)
class Cluster:
    """What is built once for many runs: so many chips of a machine.

    Attributes
    ----------
    machine : str
        Its name.
    digest : str
        SHA-256 of its figures, without changes.
    chips : int
    estimate : str
    scale_out : bool or None
    link : tuple of ((tier, figure), value)
        Figures that the sweep sets, in SI units, sorted.
    """

    machine: str
    digest: str
    chips: int
    estimate: str = "nominal"
    scale_out: bool | None = None
    link: tuple[tuple[tuple[str, str], float], ...] = ()

    @cached_property
    def changed(self) -> dict[str, dict[str, float]]:
        """`link` by tier and figure."""
        tables: dict[str, dict[str, float]] = {}
        for (tier, figure), value in self.link:
            tables.setdefault(tier, {})[figure] = value
        return tables


@dataclass(frozen=True)
class Point:
    """One run that somebody wants.

    Attributes
    ----------
    cluster : Cluster
    collective : str
    size : float
        Bytes.
    arguments : dict
        Keywords of `sim.collective` that differ from its defaults, and options of
        the algorithm.
    """

    cluster: Cluster
    collective: str
    size: float
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def inputs(self) -> dict[str, Any]:
        """Everything the run depends on, defaults included, besides the model and the figures."""
        return {
            "machine": self.cluster.machine,
            "chips": self.cluster.chips,
            "estimate": self.cluster.estimate,
            "scale_out": self.cluster.scale_out,
            "link": self.cluster.changed,
            "collective": self.collective,
            "size": self.size,
            **collective_defaults(),
            **self.arguments,
        }

    def key(self, model: str) -> str:
        """The key of the run under a version of the model, 64 hexadecimal digits.

        Raises
        ------
        ValueError
            If an argument is nothing that JSON holds.
        """
        text = canonical({**self.inputs(), "model": model, "figures": self.cluster.digest})
        return hashlib.sha256(text.encode()).hexdigest()


def canonical(content: Any) -> str:
    """JSON that is the same text for the same content.

    Examples
    --------
    >>> canonical({"size": 8.0, "chips": [8, 16]})
    '{"chips":[8,16],"size":8.0}'
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def figures_digest(description: MachineDescription) -> str:
    """SHA-256 of what a description says about the machine, without titles, evidence and sources."""

    def bare(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        return {key: bare(value) for key, value in part.items() if key not in _WORDS}

    return hashlib.sha256(canonical(bare(description.model_dump(mode="json"))).encode()).hexdigest()


@cache
def collective_defaults() -> dict[str, Any]:
    """Keywords of `sim.collective` that a run depends on, with their defaults."""
    import sim

    parameters = inspect.signature(sim.collective).parameters.values()
    keywords = {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    return {name: default for name, default in keywords.items() if name not in _BESIDE}
