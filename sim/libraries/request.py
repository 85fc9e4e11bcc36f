"""A request to a library: which of its algorithms can serve, and their schedules.

A candidate is an algorithm's name, ``hierarchical:INNER/OUTER`` or
``hierarchical:INNER/MIDDLE/OUTER`` for levels, or a name of the library's own
(``[algorithm.NAME]`` in its TOML says how that is run).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from sim import collectives
from sim.collectives.tree_of_chains import stages_of_tree
from sim.libraries.costs import ONE_CHANNEL, Setting
from sim.libraries.features import Features, Prediction, features_of
from sim.libraries.hops import hops_of, hosts_among
from sim.libraries.library import Library
from sim.libraries.orders import full_mesh, paths_of_mesh, rings_of_mesh
from sim.libraries.parameters import Parameters
from sim.routing import Router
from sim.schedule import FloatArray, IntArray, Schedule
from topologies.errors import ScheduleError, nearest

__all__ = ["Built", "Request", "levels"]

Answer = TypeVar("Answer")

#: Keys of a form that are not the algorithm's options.
NOTES = ("algorithm", "kinds", "alone", "protocols", "pieces")

#: Pieces beyond which a finer pipeline changes nothing that could be measured.
MOST_PIECES = 128

#: Algorithms whose rounds hold p * p transfers are candidates up to this p.
DENSE = ("mesh", "direct", "one_shot", "two_shot")
DENSE_RANKS = 128


def levels(kind: str, label: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a candidate.

    Raises
    ------
    UnknownNameError
        If the algorithm, or one of its levels, does not exist.
    ScheduleError
        If the algorithm has no levels, or they are not two or three.

    Examples
    --------
    >>> levels("all_reduce", "hierarchical:mesh/ring")
    ('hierarchical', {'inner': 'mesh', 'outer': 'ring'})
    >>> levels("all_reduce", "hierarchical:mesh/nhr/ring")
    ('hierarchical', {'inner': 'mesh', 'middle': 'nhr', 'outer': 'ring'})
    >>> levels("all_reduce", "ring")
    ('ring', {})
    """
    name, colon, rest = label.partition(":")
    known = collectives.algorithms(kind)
    if name not in known:
        raise nearest(f"algorithm of {kind}", name, known)
    if not colon:
        return name, {}
    parts = rest.split("/")
    keys = {2: ("inner", "outer"), 3: ("inner", "middle", "outer")}.get(len(parts), ())
    takes = collectives.options(kind, name)
    if not keys or not all(parts) or not all(key in takes for key in keys):
        raise ScheduleError(
            f"{kind}: algorithm {label!r} must be a name, hierarchical:INNER/OUTER or "
            f"hierarchical:INNER/MIDDLE/OUTER"
        )
    return name, dict(zip(keys, parts, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """A candidate's schedule, and the setting of its costs."""

    label: str
    schedule: Schedule
    setting: Setting
    key: tuple[Any, ...] | None


@dataclass(eq=False)
class Request:
    """A collective of some bytes by some chips, to a library.

    Attributes
    ----------
    kind : str
    amount : float, or (p, p) matrix
        Bytes as nccl-tests counts them.
    router : Router
    nodes : int64 array, shape (p,)
        Node of each rank.
    library : Library
    options : dict
        What the caller wants of the algorithm; goes before everything chosen here.
    groups : int64 array, shape (p,), optional
        Group of each rank (`Fabric.groups`).
    dims : tuple of int, optional
        Shape of the torus that all ranks together are.
    program : callable, optional
        Gives the schedule of the caller's own algorithm, which is then the only one.
    """

    kind: str
    amount: float | FloatArray
    router: Router
    nodes: IntArray
    library: Library
    options: Mapping[str, Any] = field(default_factory=dict)
    groups: IntArray | None = None
    dims: tuple[int, ...] | None = None
    program: Callable[[], Schedule] | None = None

    # ------------------------------------------------------------- the ranks

    @property
    def ranks(self) -> int:
        """Number of ranks p."""
        return int(self.nodes.size)

    @cached_property
    def size(self) -> float:
        """Bytes; of a matrix those of the busiest sender."""
        return self.amount if isinstance(self.amount, float) else float(self.amount.sum(axis=1).max())

    @cached_property
    def hosts(self) -> int:
        """Hosts (or wider scale-up domains) the ranks stand in."""
        return self._noted("hosts among", lambda: hosts_among(self.router.fabric, self.nodes))

    @cached_property
    def parameters(self) -> Parameters:
        """The library's figures on this machine."""
        return self.library.parameters.on(self.router.fabric.attributes)

    @cached_property
    def pods(self) -> tuple[IntArray, IntArray] | None:
        """(host, scale-up domain) of each rank where domains hold several hosts and are several."""
        fabric = self.router.fabric
        host, domain = fabric.host[self.nodes], fabric.domain[self.nodes]
        if (host < 0).any() or (domain < 0).any():
            return None
        hosts, domains = np.unique(host).size, np.unique(domain).size
        if not 1 < domains < hosts:
            return None
        return host.astype(np.int64), domain.astype(np.int64)

    @cached_property
    def meshed(self) -> bool:
        """Whether the chips of every group have a link for every pair."""
        groups = None if self.groups is None else self.groups.tobytes()
        return self._noted(
            ("full mesh", groups), lambda: full_mesh(self.router.fabric, self.nodes, self.groups)
        )

    def _noted(self, what: Hashable, found: Callable[[], Answer]) -> Answer:
        """What does not depend on the bytes, kept with the fabric."""
        notes, key = self.router.fabric.notes, (what, self.nodes.tobytes())
        if key not in notes:
            notes[key] = found()
        return notes[key]  # type: ignore[no-any-return]

    # ---------------------------------------------------------- the schedules

    def known(self) -> list[str]:
        """Names of the algorithms, the library's own among them."""
        known = collectives.algorithms(self.kind)
        own = [
            name
            for name, forms in self.library.forms.items()
            if any(self._does(f) and f.get("algorithm", name).partition(":")[0] in known for f in forms)
        ]
        return sorted({*known, *own})

    def protocols(self, label: str, protocols: list[str]) -> list[str]:
        """Those of the protocols that the library has for a candidate; all if it has none of them."""
        only = next(
            (f["protocols"] for f in self.library.forms.get(label, ()) if "protocols" in f), protocols
        )
        return [name for name in protocols if name in only] or protocols

    def refusal(self, label: str) -> str | None:
        """Why a candidate cannot serve as it is wanted; None if it can.

        Raises
        ------
        UnknownNameError
            If there is no such algorithm.
        """
        try:
            self._form(label)
        except ScheduleError as error:
            return str(error)
        scopes = self._scopes(label)
        have = self.router.fabric.attributes.get("in_network", "")
        given = {"domain", "fabric"} if have is True else {s.strip() for s in str(have or "").split(",")}
        if lacking := sorted(scopes - given):
            return (
                f"needs switches of the {' and the '.join(lacking)} that reduce (graph attribute in_network)"
            )
        crowd = self._crowd(label)
        return f"makes {self.ranks * (crowd - 1)} transfers a round" if crowd > DENSE_RANKS else None

    def build(self, label: str, protocol: str) -> Built:
        """Schedule and setting of a candidate.

        Raises
        ------
        UnknownNameError, ScheduleError
            If there is no such algorithm, or it cannot serve.
        """
        if self.program is not None:
            # A message of a program is one thread block's.
            sharing = hops_of(self.router.fabric).sharing
            setting = Setting("other", self.ranks, self.hosts, lanes=ONE_CHANNEL, sharing=sharing)
            return Built(label, self.program(), setting, None)
        name, given = self._form(label)
        family = self.library.family(label)
        if given.get("pipeline") == "chunks":
            form = self.library.forms[label][0]
            most = min(MOST_PIECES, int(form.get("pieces", MOST_PIECES)))
            given["pipeline"] = min(most, self._pieces(name, family, protocol, given))
        given.update(self.options)
        schedule = collectives.build(self.kind, self.ranks, self.amount, name, **given)
        if label != name:
            schedule = replace(schedule, algorithm=label)
        lanes = int(schedule.options.get("channels", 1))
        pieces = int(schedule.options.get("pipeline", 1) or 1)
        setting = Setting(
            family=family,
            ranks=self.ranks,
            hosts=self.hosts,
            lanes=lanes,
            mean=self.library.eager and name in ("ring", "bidirectional_ring", "chain"),
            waited=self._waited(name, given, pieces) if self.library.eager else (1, 1),
            sharing=hops_of(self.router.fabric).sharing,
            own=self.kind not in ("broadcast", "reduce"),
        )
        sized = given.get("pipeline") is not None or collectives.cuts_by_size(self.kind, name)
        sized = sized or any(
            part in collectives.algorithms(k) and collectives.cuts_by_size(k, part)
            for part in (given.get("inner"), given.get("middle"), given.get("outer"))
            if part
            for k in collectives.kinds()
        )
        return Built(label, schedule, setting, None if sized else self._key(label, given, setting))

    def _form(self, label: str) -> tuple[str, dict[str, Any]]:
        """The algorithm and options by which a candidate is run, the first form that serves."""
        first, known = label.partition(":")[0], self.known()
        if first not in known:
            raise nearest(f"algorithm of {self.kind}", first, known)
        forms = [f for f in self.library.forms.get(label, ()) if self._does(f)] or [{}]
        refusals = []
        for form in forms:
            name, given = levels(self.kind, form.get("algorithm", label))
            given.update({k: v for k, v in form.items() if k not in NOTES})
            takes = collectives.options(self.kind, name)
            groups = self.groups
            if self.pods is not None and "pods" in takes and "middle" in given:
                groups, given["pods"] = self.pods
            if groups is None and form.get("alone") and self._one_host():
                groups = np.zeros(self.ranks, dtype=np.int64)
            if groups is not None and "groups" in takes:
                given["groups"] = groups
            if self.dims is not None and "dims" in takes:
                given["dims"] = self.dims
            self._lay(name, given)
            reason = self._reason(name, given)
            if reason is None and "groups" in given and collectives.uses_network(self.kind, name):
                reason = self._torn()
                if reason is not None:
                    refusals.append(reason)
                    continue
            if reason is not None and "groups" not in self.options and given.pop("groups", None) is not None:
                # What the graph groups unevenly, an algorithm may do without groups.
                reason = reason if self._reason(name, given) is not None else None
            if reason is None:
                return name, given
            refusals.append(reason)
        raise ScheduleError(f"{self.kind} by {label}: {refusals[-1]}")

    def _reason(self, name: str, given: Mapping[str, Any]) -> str | None:
        return collectives.serves(
            self.kind, name, self.ranks,
            self.options.get("groups", given.get("groups")),
            pods=self.options.get("pods", given.get("pods")),
            dims=self.options.get("dims", given.get("dims")),
        )  # fmt: skip

    def _one_host(self) -> bool:
        """Whether the graph says that all ranks stand in one host or scale-up domain."""
        fabric = self.router.fabric
        known = [p[self.nodes] for p in (fabric.domain, fabric.host) if (p[self.nodes] >= 0).all()]
        return any(np.unique(place).size == 1 for place in known)

    def _torn(self) -> str | None:
        """Why the switches of the scale-up domains cannot serve groups of ours that are parts of domains."""
        domain = self.router.fabric.domain[self.nodes]
        if "groups" in self.options or self.groups is None or (domain < 0).any():
            return None
        sizes = np.unique(domain, return_counts=True)[1]
        if sizes.size < 2 or sizes.min() == sizes.max():
            return None
        return (
            f"needs scale-up domains of equal size, but they hold {sizes.min()} to {sizes.max()} of the "
            f"{self.ranks} ranks; take a number of chips that fills them alike, or give groups"
        )

    def _does(self, form: Mapping[str, Any]) -> bool:
        return "kinds" not in form or self.kind in form["kinds"]

    def _lay(self, name: str, given: dict[str, Any]) -> None:
        """Channels and orders: along links of their own, each by its own NIC."""
        links = given.pop("order", None) == "links"
        own = "order" in self.options or "channels" in self.options
        if (
            "channels" in self.options
            and self.meshed
            and "channel_map" in collectives.options(self.kind, name)
        ):
            given["channel_map"] = "zigzag"
        if own or self.hosts == 1:
            given.pop("channels", None)
        if own or not links or self.ranks < 3 or not self.meshed or self.kind in ("send", "barrier"):
            return
        rows = None
        if self.groups is None:
            ringlike = name in ("ring", "bidirectional_ring", "chain")
            rows = rings_of_mesh(self.ranks) if ringlike or self.ranks % 2 else paths_of_mesh(self.ranks)
            if name == "bidirectional_ring":
                rows = rows[: len(rows) // 2]
        else:
            sizes = np.bincount(self.groups)
            if sizes.min() == sizes.max() and sizes[0] % 2 == 0 and self.hosts > 1:
                members = np.argsort(self.groups, kind="stable").reshape(sizes.size, -1)
                rows = np.stack([members[:, path].ravel() for path in paths_of_mesh(int(sizes[0]))])
        if rows is not None:
            given.pop("channels", None)
            given["order"] = rows

    def _scopes(self, label: str) -> set[str]:
        """Whose switches must reduce for a candidate: those of the domain, of the fabric."""
        name, _, rest = label.partition(":")
        known = collectives.algorithms(self.kind)
        parts = [p for p in [name, *rest.split("/")] if p in known and collectives.uses_network(self.kind, p)]
        if not parts:
            return set()
        if "nvls_tree" in parts:
            return {"domain"}
        if "collnet" in parts:
            return {"fabric"}
        return {"domain"} if self.hosts == 1 else {"domain", "fabric"}

    def _crowd(self, label: str) -> int:
        """How many ranks a candidate lets talk to each other all at once; 0 if none."""
        name, _, rest = label.partition(":")
        parts = rest.split("/") if rest else []
        groups = self.options.get("groups", self.groups)
        if len(parts) == 3 and self.pods is not None:
            groups = self.pods[0]
        sizes = np.unique(groups, return_counts=True)[1] if groups is not None else np.array([self.ranks])
        crowds = [self.ranks if name in DENSE else 0]
        for place, part in enumerate(parts):
            if part in DENSE:
                crowds.append(int(sizes.max()) if place == 0 else sizes.size)
        return max(crowds)

    # ------------------------------------------------------------- pipelines

    def _depth(self, name: str, given: Mapping[str, Any]) -> int:
        """Steps that the first piece of a pipeline takes one way."""
        p = self.ranks
        if name == "tree":
            groups = given.get("groups")
            return max(1, stages_of_tree(np.arange(p) if groups is None else np.asarray(groups)))
        if name == "chain":
            return p - 1
        if name == "nvls_tree":
            return 1 + self.hosts.bit_length() - 1
        return max(1, p.bit_length() - 1)

    def _pieces(self, name: str, family: str, protocol: str, given: Mapping[str, Any]) -> int:
        """Pieces of the library's chunk, smaller where that fills the pipeline."""
        hop = "network" if self.hosts > 1 else "scale_up"
        channels = self.parameters.value(f"hop.{hop}.channels")
        share = self.size / max(1.0, channels)
        chunk = self.parameters.own(family, protocol, "chunk")
        least = self.parameters.own(family, protocol, "chunk_least")
        return max(1, math.ceil(share / chunk), min(4 * self._depth(name, given), int(share / least)))

    def _waited(self, name: str, given: Mapping[str, Any], pieces: int) -> tuple[int, int]:
        if name in ("pairwise", "direct", "grouped_mesh") and self.kind == "all_to_all":
            return 1, max(1, self.ranks - 1)
        if name == "pat":
            return 1, max(1, math.ceil(math.log2(max(2, self.ranks))))
        if pieces > 1 and name in ("tree", "chain", "double_binary_tree", "binomial", "nvls_tree"):
            return max(1, self._depth(name, given)), pieces
        return 1, 1

    # -------------------------------------------------------------- estimates

    def features(self, built: Built) -> Features:
        """Features of a candidate, kept with the fabric for requests of other sizes."""
        notes = self.router.fabric.notes
        found = notes.get(built.key) if built.key is not None else None
        if found is None:
            found = self.features_of(built.schedule, built.setting)
            if built.key is not None:
                notes[built.key] = found
        return found.resized(built.schedule.size)

    def features_of(self, schedule: Schedule, setting: Setting) -> Features:
        """Features of any schedule over these ranks."""
        return features_of(
            schedule, self.router, self.nodes, setting, self.library.capacity(self.router.fabric)
        )

    def estimates(self, labels: list[str], protocols: list[str]) -> dict[tuple[str, str], float]:
        """Seconds of every pair of candidate and protocol, fastest first."""
        pairs = [(label, one) for label in labels for one in self.protocols(label, protocols)]
        rows = [(self.features(self.build(label, protocol)), protocol) for label, protocol in pairs]
        times = dict(zip(pairs, Prediction(rows).times(self.library).tolist(), strict=True))
        return {pair: times[pair] for pair in sorted(times, key=lambda pair: (times[pair], pair))}

    def _key(self, label: str, given: Mapping[str, Any], setting: Setting) -> tuple[Any, ...] | None:
        if not isinstance(self.amount, float):
            return None
        try:
            options = tuple(sorted((k, _hashable(v)) for k, v in given.items()))
            hash(options)
        except TypeError:
            return None
        return (
            "features", self.kind, label, options, setting, self.nodes.tobytes(),
            self.router.routing, self.router.domain_routing, self.library.efficient,
        )  # fmt: skip


def _hashable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return tuple(sorted((k, _hashable(v)) for k, v in value.items()))
    if isinstance(value, list | tuple):
        return tuple(_hashable(v) for v in value)
    return value
