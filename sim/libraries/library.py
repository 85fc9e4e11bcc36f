"""One library: its figures, what it can run, and the costs they mean for transfers."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from sim.fabric import Fabric
from sim.libraries.costs import LibraryCosts, Setting, Steps
from sim.libraries.parameters import Parameters, flat
from sim.schedule import FloatArray
from topologies.errors import FormatError, LibraryError, nearest

__all__ = ["Library", "libraries", "library", "parse"]

#: Keys of a library's TOML that are no parameters.
FORM = ("name", "title", "base", "notes", "efficient", "eager", "candidates", "families", "algorithm", "rule")

#: Ways a library chooses (`sim.libraries.choice`).
MODELS = ("estimate", "nccl", "rules")

#: Family of algorithms, for figures of their own; others are "other".
FAMILIES = {
    "ring": "ring", "bidirectional_ring": "ring", "chain": "ring", "tree": "tree",
    "double_binary_tree": "tree", "pat": "pat", "nvls": "nvls", "nvls_tree": "nvls_tree",
    "collnet": "collnet", "pairwise": "p2p", "direct": "p2p", "mesh": "mesh",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Library:
    """What a library adds to the wire, and what it can do.

    Attributes
    ----------
    name, title : str
    parameters : Parameters
        Every figure by its dotted path.
    efficient : bool
        Whether links give payload only their measured share (`Fabric.efficiency`).
    eager : bool
        Whether ranks send ahead, so that nobody waits for a delay twice
        (`sim.libraries.costs`).
    candidates : dict
        For each collective, the algorithms the library chooses among; a collective
        that is not there: all that can serve.
    forms : dict
        For an algorithm's name in this library, the ways it is run, the first that
        can serve before the others: options of `sim.collectives.build`, ``algorithm``
        where its name is another, ``order = "links"`` for rings along the links of a
        full mesh, ``pipeline = "chunks"`` for pieces of the library's chunk.
    families : dict
        Family of each algorithm that has figures of its own.
    model : {"estimate", "nccl", "rules"}
        How it chooses.
    rules : tuple of dict
        Of the model ``"rules"``, in order.
    """

    name: str
    title: str
    parameters: Parameters
    efficient: bool = True
    eager: bool = False
    candidates: dict[str, tuple[str, ...]] = field(default_factory=dict)
    forms: dict[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)
    model: str = "estimate"
    rules: tuple[dict[str, Any], ...] = ()

    @property
    def launch(self) -> float:
        """Seconds once for every collective, where a protocol or family has no figure of its own."""
        return self.parameters.value("launch")

    @property
    def protocols(self) -> list[str]:
        """Names of the protocols."""
        return self.parameters.names("protocol")

    def protocol(self, name: str) -> str:
        """The name of a protocol, which must be there.

        Raises
        ------
        UnknownNameError
            If the library has none of that name.
        """
        if name not in self.protocols:
            raise nearest(f"protocol of {self.name}", name, self.protocols)
        return name

    def family(self, label: str) -> str:
        """Family of an algorithm (``hierarchical:…`` is one of its own)."""
        name = label.partition(":")[0]
        return self.families.get(label) or self.families.get(name) or FAMILIES.get(name, "other")

    def steps(
        self,
        protocol: str,
        setting: Setting | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Steps:
        """Figures of a protocol in a setting, on a machine with these graph attributes."""
        return Steps.of(self.parameters.on(attributes or {}), self.protocol(protocol), setting or Setting())

    def capacity(self, fabric: Fabric) -> FloatArray:
        """Bytes/s that payload gets on each link."""
        return fabric.bandwidth * fabric.efficiency if self.efficient else fabric.bandwidth

    def costs(
        self,
        protocol: str,
        setting: Setting | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> LibraryCosts:
        """What a network asks for the costs of transfers."""
        return LibraryCosts(protocol, self.steps(protocol, setting, attributes), self.efficient)

    def with_parameters(self, parameters: Mapping[str, Any], estimate: str = "nominal") -> Library:
        """The same library with other values at some paths, or at an end of its soft figures.

        Raises
        ------
        UnknownNameError
            If there is no such path or estimate.

        Examples
        --------
        >>> mine = library("nccl").with_parameters({"protocol.ll.network.step": "3.1 us"})
        >>> mine.parameters.value("protocol.ll.network.step")
        3.1e-06
        """
        at = self.parameters.at(estimate)
        return replace(self, parameters=at.replaced(parameters) if parameters else at)

    def __repr__(self) -> str:
        return f"<Library {self.name}: {self.title}, protocols {', '.join(self.protocols)}>"


def libraries() -> list[str]:
    """Names of the libraries, sorted.

    Examples
    --------
    >>> "ideal" in libraries()
    True
    """
    folder = resources.files("sim.libraries")
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def library(
    name: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    estimate: str = "nominal",
    calibrated: bool = True,
) -> Library:
    """A library by name, or from a file.

    Parameters
    ----------
    name : str
        One of `libraries()`, or the path of a ``.toml`` file: a library of its own, or
        figures that replace some of the library it names as its ``base``.
    parameters : mapping, optional
        Dotted path to a number in SI units or text with a unit, in the place of the
        library's figure.
    estimate : {"nominal", "low", "high"}
        End of the soft figures; low is the slower library.
    calibrated : bool
        Whether figures fitted to measurements (``sim/libraries/calibrated``) replace
        the library's own, where there are any.

    Raises
    ------
    UnknownNameError
        If there is no library, path or estimate of that name.
    FormatError, LibraryError, UnitError
        If the file cannot be read or a figure has no meaning.

    Examples
    --------
    >>> library("ideal").launch
    0.0
    >>> slow = library("nccl", parameters={"protocol.ll.network.step": 3.1e-6}, estimate="low")
    >>> slow.parameters.value("protocol.ll.network.step")
    3.1e-06
    """
    if not name.endswith(".toml") and not parameters and estimate != "nominal":
        return _at(name, estimate, calibrated)
    found = _of_file(name) if name.endswith(".toml") else _shipped(name, calibrated)
    if not parameters and estimate == "nominal":
        return found
    return found.with_parameters(parameters or {}, estimate)


@cache
def _at(name: str, estimate: str, calibrated: bool) -> Library:
    return _shipped(name, calibrated).with_parameters({}, estimate)


@cache
def _shipped(name: str, calibrated: bool = True) -> Library:
    if name not in libraries():
        raise nearest("library", name, libraries())
    folder = resources.files("sim.libraries")
    found = parse(tomllib.loads(folder.joinpath(f"{name}.toml").read_text(encoding="utf-8")), name)
    fitted = folder.joinpath("calibrated", f"{name}.toml")
    if not (calibrated and fitted.is_file()):
        return found
    tables = tomllib.loads(fitted.read_text(encoding="utf-8"))
    figures = dict(flat(tables, "", f"calibrated/{name}"))
    return replace(found, parameters=found.parameters.replaced(figures, f"calibrated/{name}"))


def _of_file(name: str) -> Library:
    path = Path(name)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read: {error}; give the path of a library's TOML") from error
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"{path}: no TOML: {error}; correct the file there") from error
    content.setdefault("name", path.stem)
    return parse(content, str(path))


def parse(figures: Mapping[str, Any], where: str) -> Library:
    """A library from its description.

    Raises
    ------
    LibraryError, UnitError, UnknownNameError
        If a figure is missing or has no meaning; the path is named.

    Examples
    --------
    >>> mine = parse({"protocol": {"simple": {"network": {"step": {"value": "3 us"}}}}}, "mine.toml")
    >>> mine.steps("simple").fixed.tolist()
    [0.0, 0.0, 3e-06]
    """
    tables = {key: table for key, table in figures.items() if key not in FORM}
    choice = dict(tables.get("choice", {}))
    model = choice.pop("model", None)
    if choice:
        tables["choice"] = choice
    else:
        tables.pop("choice", None)
    base = _shipped(figures["base"]) if "base" in figures else None
    if base is not None:
        parameters = base.parameters.replaced(dict(flat(tables, "", where)), where)
    else:
        parameters = Parameters.read(tables, where)
        if not parameters.names("protocol"):
            raise LibraryError(f"{where}: no protocol; give at least one table [protocol.NAME]")
    if model is not None and model not in MODELS:
        raise nearest(f"choice.model of {where}", model, MODELS)

    def given(key: str, default: Any) -> Any:
        return figures[key] if key in figures else getattr(base, key, default)

    candidates = {k: tuple(v) for k, v in figures.get("candidates", {}).items()}
    forms = {k: tuple(v.get("forms", [v])) for k, v in figures.get("algorithm", {}).items()}
    inherited = base or Library("", "", parameters)
    return Library(
        name=str(figures.get("name", where)),
        title=str(given("title", where)),
        parameters=parameters,
        efficient=bool(given("efficient", True)),
        eager=bool(given("eager", False)),
        candidates={**inherited.candidates, **candidates},
        forms={**inherited.forms, **forms},
        families={**inherited.families, **figures.get("families", {})},
        model=model or inherited.model,
        rules=tuple(figures.get("rule", ())) or inherited.rules,
    )
