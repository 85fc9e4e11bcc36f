"""What bounded a run, in words and figures, section by section.

What is said of the run itself costs nothing. Two sections need other runs: how
much of the time was contention (the same run without it, ``network="analytic"``)
and which single change would help most (`sim.sensitivity`). By default they are
done where one such run moves at most `CHEAP` transfers, which is a matter of
milliseconds; the choice rests on the run's own counters, so that the same run
is always explained alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sim.network.job import Cost
from sim.plan import Plan
from sim.schedule import FloatArray
from sim.sensitivity import CHANGES, Rerunnable, sensitivities
from sim.uncertainty import extrapolated, sensitivity
from topologies import units

__all__ = ["CHEAP", "Explicable", "Section", "effort", "explain", "verdict"]

#: Transfers that a run may move event by event for its explanation to run it again.
CHEAP = 50_000

#: Links whose use differs by less, relatively, are as busy.
ALIKE = 0.001

#: Gains below this are not worth a word.
WORTH = 0.01


@dataclass(frozen=True, slots=True)
class Section:
    """A few lines about one thing.

    Attributes
    ----------
    topic : str
        ``run``, ``bounded``, ``choice``, ``breakdown``, ``links``, ``contention``,
        ``bound`` or ``change``.
    lines : tuple of str
        Whole sentences; rows of a table are indented by two spaces.
    """

    topic: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)


class Explicable(Rerunnable, Protocol):
    """What an explanation asks of a run."""

    @property
    def kind(self) -> str:
        """The collective."""

    @property
    def ranks(self) -> int:
        """How many take part."""

    @property
    def library(self) -> str:
        """The library's name."""

    @property
    def network(self) -> str:
        """The network model's name."""

    @property
    def plan(self) -> Plan:
        """What was run."""

    @property
    def cost(self) -> Cost:
        """What the simulation has cost."""

    @property
    def busbw(self) -> float:
        """Bytes/s."""

    @property
    def lower_bound(self) -> float:
        """Seconds."""

    @property
    def breakdown(self) -> dict[str, float]:
        """Seconds by cause."""

    @property
    def utilisation(self) -> FloatArray:
        """Share of each link's bandwidth that was used over the run, shape (links,)."""

    def hottest(self) -> list[tuple[str, str, float]]:
        """The busiest links: (link, tier, utilisation)."""


def explain(run: Explicable, *, rerun: bool | None = None, best: bool = False) -> list[Section]:
    """Say what bounded a run.

    Parameters
    ----------
    run : Run
    rerun : bool, optional
        Whether to run it again for the sections ``figures``, ``contention`` and ``change``; by
        default where one such run moves at most `CHEAP` transfers one by one.
    best : bool
        Whether to run all that the library could have chosen, and say what the fastest
        would have given.

    Returns
    -------
    list of Section
    """
    if run.ranks == 1 or run.time <= 0:
        text = f"{run.kind} of {units.format_size(run.size)} by one chip alone: nothing to send."
        return [Section("run", (text,))]
    again = effort(run) <= CHEAP if rerun is None else rerun
    found = [_run(run), _bounded(run), _choice(run, best), _breakdown(run), _links(run), _figures(run, again)]
    if again:
        found += [_contention(run), _bound(run), _change(run)]
    else:
        found += [_bound(run), *([_not_run(run)] if rerun is None else [])]
    return [section for section in found if section.lines]


def effort(run: Explicable) -> float:
    """Transfers that the run moved one by one, not counting repetitions it jumped over."""
    rounds = max(run.cost.rounds, 1)
    return run.cost.transfers * (1 - run.cost.jumped / rounds)


def verdict(breakdown: Mapping[str, float]) -> tuple[str, str, float]:
    """What the time went into most.

    Parameters
    ----------
    breakdown : mapping
        Seconds by cause, as `Run.breakdown` gives them.

    Returns
    -------
    (str, str, float)
        ``bandwidth``, ``latency``, ``contention`` or ``waiting``; the largest cause
        of that kind; the share of the time of all its causes, 0 to 1.

    Examples
    --------
    >>> verdict({"overhead": 1e-6, "latency": 2e-6, "serialisation:nvlink4": 5e-6, "contention": 0.0})
    ('bandwidth', 'nvlink4', 0.625)
    """
    kinds: dict[str, dict[str, float]] = {"bandwidth": {}, "latency": {}, "contention": {}, "waiting": {}}
    for cause, spent in breakdown.items():
        name, _, tier = cause.partition(":")
        kind = "bandwidth" if name == "serialisation" else "latency" if name == "overhead" else name
        kinds[kind][tier or name] = spent
    sums = {kind: sum(causes.values()) for kind, causes in kinds.items()}
    most = max(sums, key=lambda kind: sums[kind])
    total = sum(sums.values())
    return most, max(kinds[most], key=lambda cause: kinds[most][cause]), sums[most] / total if total else 0.0


def _run(run: Explicable) -> Section:
    return Section(
        "run",
        (
            f"{run.kind} of {units.format_size(run.size)} by {run.ranks} chips of {run.fabric.name}: "
            f"{units.format_time(run.time)}, bus bandwidth {units.format_bandwidth(run.busbw)}.",
        ),
    )


def _bounded(run: Explicable) -> Section:
    kind, cause, share = verdict(run.breakdown)
    words = {
        "bandwidth": f"Bounded by bandwidth, most of all that of {cause}: bytes on the wire take",
        "latency": "Bounded by latency: "
        + ("software overhead" if cause == "overhead" else "the links' latency")
        + " most of all; both together take",
        "contention": "Bounded by contention: waiting for links that others hold takes",
        "waiting": "Bounded by waiting for other ranks, which takes",
    }
    return Section("bounded", (f"{words[kind]} {_percent(share)} of the time.",))


def _choice(run: Explicable, compare: bool) -> Section:
    choice = run.plan.choice
    items = list(choice.estimates.items())
    line = f"Algorithm {run.algorithm}, protocol {run.protocol} of {run.library}"
    if not items and not choice.reason:
        return Section("choice", (f"{line}, as asked.",))
    words = [choice.reason] if choice.reason else []
    if items and items[0][1] > 0:
        words.append(f"estimated {units.format_time(items[0][1])}")
        other = next((item for item in items[1:] if item[0][0] != run.algorithm), None)
        if other is not None:
            (name, protocol), value = other
            words.append(f"next best {name}, {protocol}: {units.format_time(value)}")
    lines = [f"{line} ({'; '.join(words)})."]
    if compare:
        lines.append(_best(run))
    return Section("choice", tuple(lines))


def _best(run: Explicable) -> str:
    """What the fastest of the library's candidates would have given, simulated."""
    best = run.again(algorithm="best", protocol="auto")
    if best.time >= run.time:
        return "None of the library's other candidates is faster (each was run)."
    gain = 1 - best.time / run.time
    return (
        f"Its fastest candidate is {best.algorithm}, {best.protocol}: {units.format_time(best.time)}, "
        f"{_percent(gain)} less (each was run)."
    )


def _breakdown(run: Explicable) -> Section:
    lines = ["Where the time went (critical path of the last rank):"]
    for cause, spent in sorted(run.breakdown.items(), key=lambda item: -item[1]):
        if spent > 0:
            lines.append(f"  {cause:<28} {units.format_time(spent):>10}  {_percent(spent / run.time):>7}")
    return Section("breakdown", tuple(lines))


def _links(run: Explicable) -> Section:
    hot = run.hottest()
    if not hot:
        return Section("links", ())
    lines = ["Hottest links (share of their bandwidth over the whole run):"]
    lines += [f"  {link:<28} {tier:<12} {_percent(used):>7}" for link, tier, used in hot]
    alike = int((run.utilisation >= (1 - ALIKE) * hot[-1][2]).sum()) - len(hot)
    if alike > 0:
        lines.append(f"  and {alike:,} more that are as busy")
    return Section("links", tuple(lines))


def _figures(run: Explicable, again: bool) -> Section:
    """The figure the time hangs on most, and whether it was measured here."""
    lines = []
    table = sensitivity(run.plan, simulated=again and run.network != "analytic")
    if len(table):
        first = table.iloc[0]
        lines.append(
            f"Depends most on {first['figure']} ({first['evidence']}): "
            f"{first['sensitivity']:+.2f} % of time for +1 % of it."
        )
    beyond = extrapolated(run.plan)
    if beyond:
        lines.append(f"The library's figures are {beyond}.")
    return Section("figures", tuple(lines))


def _contention(run: Explicable) -> Section:
    if run.network == "analytic":
        return Section("contention", ('No contention was modelled (network="analytic").',))
    alone = run.again(network="analytic", algorithm=run.algorithm, protocol=run.protocol).time
    lost = run.time - alone
    if lost <= 1e-6 * run.time:
        return Section("contention", ("No time was lost to contention.",))
    return Section(
        "contention",
        (
            f"Contention: {units.format_time(lost)}, {_percent(lost / run.time)} of the time; "
            f"with every transfer alone on its links the run takes {units.format_time(alone)}.",
        ),
    )


def _bound(run: Explicable) -> Section:
    if run.lower_bound <= 0:
        return Section("bound", ("No lower bound.",))
    return Section(
        "bound",
        (
            f"Lower bound {units.format_time(run.lower_bound)}: "
            f"the run takes {run.time / run.lower_bound:.3g} times that.",
        ),
    )


def _change(run: Explicable) -> Section:
    rows: list[dict[str, Any]] = [
        {str(key): value for key, value in row.items()} for row in sensitivities(run).to_dict("records")
    ]
    rows.sort(key=lambda row: -row["gain"])
    single = [row for row in rows if row["single"] and row["gain"] >= WORTH]
    if single:
        first, *others = single
        lines = [f"What would help most: {_words(first)}."]
        other = next((row for row in others if row["change"] != first["change"]), None)
        if other is not None:
            lines.append(f"After that: {_words(other)}.")
    else:
        lines = [f"No single kind of link helps by {_percent(WORTH)} or more when made better."]
    whole = [row for row in rows if not row["single"] and row["gain"] >= WORTH]
    if whole and (not single or whole[0]["gain"] > single[0]["gain"] + WORTH):
        lines.append(f"All links of the path together: {_words(whole[0])}.")
    lines[-1] += " (Each of these was run.)"
    return Section("change", tuple(lines))


def _words(row: Mapping[str, Any]) -> str:
    change = {CHANGES[0][0]: "twice the bandwidth", CHANGES[1][0]: "half the latency"}[row["change"]]
    time = units.format_time(row["time_after"])
    return f"{change} of {row['links']}, {time}, {_percent(row['gain'])} faster"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _not_run(run: Explicable) -> Section:
    return Section(
        "change",
        (
            f"Not run again for its {effort(run):,.0f} transfers: how much was contention, and which change "
            "would help most; explain(rerun=True) does.",
        ),
    )
