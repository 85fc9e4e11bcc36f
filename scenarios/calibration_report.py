"""What a calibration found, for people: figures, warnings, residuals, and the TOML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sim.calibrate import Fit

__all__ = ["described", "residuals", "toml", "warnings"]

#: Below this the time of a message is latency, above bandwidth; both are needed.
SMALL, LARGE = 65536, 16 << 20


def described(found: Fit) -> list[str]:
    """A line for each figure: its value, 95 % interval, and what the library had."""
    from scenarios.parameter_files import text_of

    width = max(len(f.path) for f in found.figures)
    lines = [f"{'figure':<{width}} {'fitted':>12}  {'95 % interval':<27} {'before':>12}"]
    for f in found.figures:
        if f.told:
            ends = (f.value, f.low, f.high, f.vendor)
            value, low, high, before = (text_of(f.path, v).strip('"') for v in ends)
            lines.append(f"{f.path:<{width}} {value:>12}  {low:>12} – {high:<12} {before:>12}")
    return lines


def warnings(found: Fit) -> list[str]:
    """What the points cannot tell, in words."""
    kept = [s for s, k in zip(found.samples, found.kept, strict=True) if k]
    hosts = {s.hosts for s in kept}
    sizes = [s.size for s in kept]
    said = []
    if max(hosts) == 1:
        said.append(
            "no rows of several hosts: scale-out latency and efficiency left at the library's figures"
        )
    elif len(hosts - {1}) < 3:
        said.append(
            f"rows of {len(hosts - {1})} number(s) of hosts only: growth with scale as the library has it"
        )
    if max(hosts) > 1 and 1 not in hosts:
        said.append(
            "no rows of one host: scale-up and scale-out are told apart by the library's figures only"
        )
    if min(sizes) > SMALL:
        said.append(
            "no rows of 64 KiB or less: launch and steps are told by large messages only, or not at all"
        )
    if max(sizes) < LARGE:
        said.append("no rows of 16 MiB or more: the share of the links' rates is told by small messages only")
    untold = [f.path for f in found.figures if not f.told]
    if untold:
        said.append(f"not determined, left at the library's figures: {', '.join(untold)}")
    edge = [f.path for f in found.figures if f.told and f.path.endswith("efficiency") and f.value > 1.25]
    if edge:
        said.append(f"faster than the machine file's links allow, check their bandwidths: {', '.join(edge)}")
    return said


def toml(found: Fit, base: str, machine: str, logs: Sequence[str]) -> str:
    """The figures as a library file that stands on ``base``."""
    from pathlib import Path

    from scenarios.parameter_files import figures_toml

    names = ", ".join(Path(log).name for log in logs)
    head = (
        f"# Figures of {base} fitted to {names} on {machine}, by chipweave calibrate.\n"
        f'base = "{base}"\nname = "{base}-{machine}"\ntitle = "{base} as measured on {machine}"\n\n'
    )
    return head + figures_toml([(f"measured on {machine}: {names}".replace('"', "'"), found)])


def residuals(found: Fit) -> Figure:
    """Error of every sample over message size; what was left out is crossed."""
    from sim.plots import panels
    from sim.plots.scales import size_axis
    from sim.plots.style import FONT_SIZE, NEUTRAL, dress

    figure, (ax,) = panels(1, 1)
    sizes = np.array([s.size for s in found.samples])
    hosts = np.array([s.hosts for s in found.samples])
    errors = 100 * np.asarray(found.errors)
    ax.axhspan(-10, 10, color="#E3E3E3", linewidth=0)
    ax.axhline(0, color="black", linewidth=0.8)
    for i, count in enumerate(sorted(set(hosts.tolist()))[:6]):
        here = (hosts == count) & found.kept
        label = "1 host" if count == 1 else f"{count} hosts"
        ax.plot(
            sizes[here],
            errors[here],
            "o",
            color=NEUTRAL[i],
            markersize=4,
            markerfacecolor="white",
            clip_on=False,
            label=label,
        )
    out = ~found.kept
    most = min(105.0, max(20.0, float(np.abs(errors[found.kept]).max(initial=0.0)) * 1.1))
    if out.any():
        ax.plot(
            sizes[out],
            np.clip(errors[out], -most, most),
            "x",
            color="#6E6E6E",
            clip_on=False,
            markersize=5,
            label="left out",
        )
    dress(ax)
    size_axis(ax, sizes)
    ax.set_ylim(-most, most)
    ax.set_ylabel("Error of the fitted time (%)")
    ax.legend(frameon=False, fontsize=FONT_SIZE, ncols=2)
    return figure
