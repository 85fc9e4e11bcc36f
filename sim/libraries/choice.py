"""Which algorithm and protocol: as the library would choose.

Three ways to choose (``choice.model`` in a library's TOML): ``nccl`` by the cost
model that NCCL plans with (`sim.libraries.planned`), ``rules`` by the first rule of
the library that fits (`sim.libraries.rules`), ``estimate`` by the least estimate for
this fabric (`sim.libraries.features`), which is also what the others fall back on.
The choice may be wrong, as a library's may; ``algorithm="best"`` shows what it gave away.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.libraries.costs import Setting
from sim.libraries.planned import planned
from sim.libraries.request import Built, Request
from sim.libraries.rules import fitting
from sim.schedule import Schedule
from topologies.errors import ScheduleError

__all__ = ["Choice", "candidates", "choose"]


@dataclass(frozen=True, slots=True)
class Choice:
    """An algorithm and a protocol, and what led there.

    Attributes
    ----------
    schedule : Schedule
    protocol : str
    setting : Setting
        Of the costs.
    estimates : dict
        (algorithm, protocol) to seconds, as the library compared them, least first;
        empty where it did not.
    reason : str
        Why, in words; empty where there was nothing to choose.
    """

    schedule: Schedule
    protocol: str
    setting: Setting
    estimates: dict[tuple[str, str], float]
    reason: str = ""


def candidates(request: Request, algorithm: str, protocol: str) -> tuple[list[str], list[str]]:
    """Algorithms and protocols to choose among.

    Raises
    ------
    UnknownNameError
        If there is no such algorithm or protocol.
    ScheduleError
        If no candidate can serve so many ranks.
    """
    library = request.library
    protocols = [library.protocol(protocol)] if protocol != "auto" else library.protocols
    return ([algorithm] if algorithm != "auto" else _able(request)), protocols


def choose(request: Request, algorithm: str = "auto", protocol: str = "auto") -> Choice:
    """Choose as the library would.

    Parameters
    ----------
    request : Request
    algorithm, protocol : str
        A name, or ``"auto"``.

    Raises
    ------
    UnknownNameError
        If there is no such algorithm or protocol.
    ScheduleError
        If no candidate can serve so many ranks.
    """
    labels, protocols = candidates(request, algorithm, protocol)
    if len(labels) * len(protocols) == 1 or request.ranks == 1:
        return _choice(request.build(labels[0], protocols[0]), protocols[0], {}, "")
    model = request.library.model
    if model == "nccl":
        found = planned(request, labels, protocols)
        if found:
            reason = f"{request.library.name}'s own cost model: latency + bytes / bandwidth is least"
            return _least(request, found, reason)
    if model == "rules" and algorithm == "auto":
        rule = fitting(request, labels)
        if rule is not None:
            label, because = rule
            return _among(request, [label], protocols, f"{request.library.name}'s rule: {because}")
    return _among(request, labels, protocols, "the least estimate for this fabric")


def _among(request: Request, labels: list[str], protocols: list[str], reason: str) -> Choice:
    if len(labels) == 1 and len(request.protocols(labels[0], protocols)) == 1:
        (only,) = request.protocols(labels[0], protocols)
        return _choice(request.build(labels[0], only), only, {}, reason)
    return _least(request, request.estimates(labels, protocols), reason)


def _least(request: Request, found: dict[tuple[str, str], float], reason: str) -> Choice:
    label, protocol = next(iter(found))
    return _choice(request.build(label, protocol), protocol, found, reason)


def _choice(built: Built, protocol: str, found: dict[tuple[str, str], float], reason: str) -> Choice:
    return Choice(built.schedule, protocol, built.setting, found, reason)


def _able(request: Request) -> list[str]:
    """Candidates that can serve; any algorithm if none of the library's can."""
    refusals: list[str] = []
    own = request.library.candidates.get(request.kind, ())
    known = request.known()
    for labels in (own, known):
        able = []
        for label in labels:
            if label.partition(":")[0] not in known:
                continue  # an algorithm that this version has not
            reason = request.refusal(label)
            if reason is None:
                try:
                    request.build(label, request.library.protocols[0])
                except ScheduleError as error:  # a level of it cannot serve
                    reason = str(error)
            if reason is None:
                able.append(label)
            else:
                refusals.append(f"{label} {reason}")
        if able:
            return able
    raise ScheduleError(
        f"{request.kind}: no algorithm can serve {request.ranks} ranks: {'; '.join(refusals)}"
    )
