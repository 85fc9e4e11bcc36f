"""Figures: what is drawn is what the table says, and everything on them can be read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from scipy.optimize import isotonic_regression

import sim
import topologies
from sim import plots
from sim.bisection import bisection
from sim.plots.curves import curves
from sim.plots.labels import spread
from sim.plots.overlay import join
from sim.plots.scales import binary_ticks
from sim.plots.style import DOMESTIC, FIGURE_SIZE, FONT_SIZE, GLOBAL, colours
from sim.traffic import pairs
from topologies.errors import FormatError

MACHINES = {
    "atlas-950": "domestic",
    "cloudmatrix384": "domestic",
    "metax-c500": "domestic",
    "hgx-h100": "global",
    "gb200-nvl72": "global",
    "tpu-v5p": "global",
}


def table(
    machines: dict[str, str] = MACHINES, estimates: tuple[str, ...] = ("nominal", "low", "high")
) -> Any:
    """What sim.scaling returns, by a formula: close curves, one that ends early, three estimates."""
    rows = []
    for i, (machine, origin) in enumerate(machines.items()):
        for size in (2.0**20, 2.0**30):
            for chips in [2**k for k in range(3, 15 if i else 11)]:
                for estimate in estimates:
                    bound = size / (1e9 * (40 + i)) + 1e-6
                    time = bound * (1.5 + 0.1 * np.log2(chips)) * {"low": 1.2, "high": 0.9}.get(estimate, 1.0)
                    busbw = 2 * (chips - 1) / chips * size / time
                    rows.append(
                        (
                            machine,
                            origin,
                            chips,
                            "all_reduce",
                            size,
                            "ring",
                            estimate,
                            time,
                            busbw,
                            bound,
                            bound / time,
                        )
                    )
    columns = "machine origin chips collective size algorithm estimate time busbw lower_bound efficiency"
    return pd.DataFrame(rows, columns=columns.split())


BREAKDOWN = {
    "small": {"overhead": 2e-5, "latency": 3e-5, "serialisation:nvlink4": 1e-5, "waiting": 1e-6},
    "large": {"overhead": 2e-5, "latency": 3e-5, "serialisation:nvlink4": 2e-4, "serialisation:ib-ndr": 3e-4},
}
PHASES = (("compute", 0.0, 2e-3), ("send", 2e-3, 3e-3))
RECORDS = pd.DataFrame(
    [(f"chip {i}", what, start, end) for i in range(40) for what, start, end in PHASES],
    columns=["actor", "what", "start", "end"],
)


def points(factor: float = 1.0) -> pd.DataFrame:
    cases = table({"hgx-h100": "global", "gb200-nvl72": "global"}, ("nominal",))
    cases = cases[cases["chips"] == 16].assign(case=lambda t: t["machine"])
    return cases.assign(time=cases["time"] * factor, busbw=cases["busbw"] / factor)


ONE = {"hgx-h100": "global"}
EXPOSED = pd.DataFrame({"actor": ["chip 0"], "what": ["send"], "start": [2e-3], "end": [2.5e-3]})
RING = topologies.ring(12, bandwidth="50 GB/s", latency="1 us")
PAIRS = pd.DataFrame(
    {
        "src": range(64),
        "dst": [(i + 1) % 64 for i in range(64)],
        "bytes": [2.0**20 * (i + 1) for i in range(64)],
        "utilisation": [i / 63 for i in range(64)],
    }
)
TRANSFERS = pd.DataFrame({"ready": [0.0, 1e-6, 2e-6, 3e-6], "end": [4e-6, 6e-6, 8e-6, 10e-6]})
BISECTION = pd.DataFrame(
    [
        (a, "all_reduce", 2.0**28, b, t / b)
        for a, t in (("ring", 1e9), ("tree", 2e9))
        for b in (3e9, 6e9, 12e9)
    ],
    columns=["algorithm", "collective", "size", "bisection", "time"],
)


def sweep() -> pd.DataFrame:
    """A sweep by a formula: 2 us + size / 100 GB/s, whose lower bound is the second part."""
    size = np.array([2.0**e for e in range(10, 31)])
    time = 2e-6 + size / 100e9
    return pd.DataFrame({"machine": "m", "chips": 8, "collective": "all_reduce", "size": size, "time": time,
                         "busbw": 1.75 * size / time, "lower_bound": size / 100e9})  # fmt: skip


FIGURES = {
    "scaling": lambda: plots.plot_scaling(table(), size=2**30),
    "scaling with bounds": lambda: plots.plot_scaling(table(), size=2**20, bounds=True),
    "efficiency": lambda: plots.plot_efficiency(table(), size=2**20),
    "busbw": lambda: plots.plot_busbw(table(), chips=64),
    "busbw of one": lambda: plots.plot_busbw(table({"hgx-h100": "global"}), chips=64),
    "one point": lambda: plots.plot_scaling(table({"hgx-h100": "global"}).query("chips == 8 and size > 2e6")),
    "breakdown": lambda: plots.plot_breakdown(BREAKDOWN),
    "breakdown in shares": lambda: plots.plot_breakdown(BREAKDOWN, share=True),
    "overlay": lambda: plots.plot_overlay(points(), points(1.3))[0],
    "timeline": lambda: plots.plot_timeline(RECORDS),
    "timeline, exposed": lambda: plots.plot_timeline(RECORDS, exposed=EXPOSED),
    "busbw, line rate, measured": lambda: plots.plot_busbw(
        table(ONE), chips=64, line_rate=60e9, measured=points().query("case == 'hgx-h100'")
    ),
    "efficiency against the smallest": lambda: plots.plot_efficiency(table(), size=2**20, against="smallest"),
    "links": lambda: plots.plot_links(RING, sim.all_reduce(RING, "1 MiB").links),
    "pairs": lambda: plots.plot_pairs(PAIRS),
    "pairs, bytes": lambda: plots.plot_pairs(PAIRS, quantity="bytes"),
    "pairs, equal bytes": lambda: plots.plot_pairs(PAIRS.assign(bytes=3e6), quantity="bytes"),
    "transfer times": lambda: plots.plot_transfer_times({"1:1": TRANSFERS, "2:1": TRANSFERS * 2}),
    "roofline": lambda: plots.plot_roofline(sweep(), latency=2e-6),
    "bisection": lambda: plots.plot_bisection(BISECTION, by="algorithm"),
    "comparison": lambda: plots.plot_comparison(table(), chips=[8, 512, 16384], size=2**30)[0],
}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def texts(ax: Axes) -> list[Text]:
    """What can be seen of the texts of a figure."""
    figure = ax.get_figure(root=True)
    figure.draw_without_rendering()
    beyond = set()
    for axis in (axis for a in figure.axes for axis in (a.xaxis, a.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            # Ticks outside the limits exist and are not drawn.
            if not low * (1 - 1e-9) <= tick.get_loc() <= high * (1 + 1e-9):
                beyond.add(id(tick.label1))
    found = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    return [t for t in found if id(t) not in beyond]


@pytest.mark.parametrize("name", FIGURES)
def test_every_text_can_be_read(name: str) -> None:
    """At the size of the style: nothing smaller than 9 points, clipped, or over another."""
    ax = FIGURES[name]()
    assert tuple(ax.get_figure(root=True).get_size_inches()) == FIGURE_SIZE
    assert_readable(ax)


def assert_readable(ax: Axes) -> None:
    """Nothing on the figure of an Axes is smaller than 9 points, clipped, or over another."""
    figure = ax.get_figure(root=True)
    seen = texts(ax)
    assert seen
    width, height = figure.bbox.size
    boxes = [(t.get_text(), Text.get_window_extent(t)) for t in seen]
    for text in seen:
        assert text.get_fontsize() >= FONT_SIZE
    for text, box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, text
    for (one, a), (other, b) in combinations(boxes, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) <= 1.0, (one, other)


def test_scaling_draws_the_nominal_rows_in_gigabytes_over_chips() -> None:
    data = table()
    ax = plots.plot_scaling(data, size=2**30)
    lines = {line.get_label(): line for line in ax.get_lines()}
    for machine in MACHINES:
        rows = data[(data["machine"] == machine) & (data["size"] == 2**30) & (data["estimate"] == "nominal")]
        np.testing.assert_array_equal(lines[machine].get_xdata(), rows["chips"])
        np.testing.assert_allclose(lines[machine].get_ydata(), rows["busbw"] / 1e9, rtol=1e-12)
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylim()[1] >= data.loc[data["size"] == 2**30, "busbw"].max() / 1e9
    assert [t.get_text() for t in ax.get_xticklabels()] == ["8", "64", "512", "4,096"]
    assert ax.get_ylabel() == "Bus bandwidth, all-reduce of 1 GiB (GB/s)"


def test_bands_span_low_to_high_and_are_absent_without_them() -> None:
    def bands(data: pd.DataFrame) -> list[PolyCollection]:
        ax = plots.plot_scaling(data, size=2**30)
        return [c for c in ax.collections if isinstance(c, PolyCollection)]

    one = table({"hgx-h100": "global"})
    (band,) = bands(one)
    corners = band.get_paths()[0].vertices
    rows = one[one["size"] == 2**30]
    assert corners[:, 1].min() == pytest.approx(rows["busbw"].min() / 1e9)
    assert corners[:, 1].max() == pytest.approx(rows["busbw"].max() / 1e9)
    assert bands(one[one["estimate"] == "nominal"]) == []
    # Where the ends were not run the band stops; it does not taper to the line.
    partly = one[(one["estimate"] == "nominal") | (one["chips"] <= 64)]
    (short,) = bands(partly)
    assert {x for path in short.get_paths() for x in path.vertices[:, 0]} == {8, 16, 32, 64}


def test_a_common_top_makes_panels_comparable() -> None:
    data = table(estimates=("nominal",))
    tops = {
        plots.plot_scaling(data[data["machine"] == machine], size=2**30, top=900e9).get_ylim()
        for machine in MACHINES
    }
    assert len(tops) == 1 and tops.pop()[1] > 900


def test_bound_on_time_becomes_bound_on_bandwidth() -> None:
    """busbw is proportional to 1 / time, so the bound is busbw * time / lower_bound."""
    one = table({"hgx-h100": "global"}, ("nominal",)).query("chips == 64")
    (curve,) = curves(one, "size", "busbw")
    np.testing.assert_allclose(curve.bound, 2 * 63 / 64 * one["size"] / one["lower_bound"], rtol=1e-12)
    ax = plots.plot_busbw(one)
    assert [line.get_linestyle() for line in ax.get_lines()].count("--") == 1


def test_efficiency_is_in_percent_below_a_dashed_hundred() -> None:
    one = table({"hgx-h100": "global"}, ("nominal",)).query("size > 2e6")
    ax = plots.plot_efficiency(one)
    solid, dashed = ax.get_lines()
    np.testing.assert_allclose(solid.get_ydata(), 100 * one["efficiency"])
    assert set(dashed.get_ydata()) == {100}


def test_families_have_families_of_colour() -> None:
    chosen = colours(MACHINES, MACHINES)
    assert len(set(chosen.values())) == len(MACHINES)
    for machine, origin in MACHINES.items():
        assert chosen[machine] in {"domestic": DOMESTIC, "global": GLOBAL}[origin]
    # Warm is redder than blue, cold is not.
    assert all(to_rgb(c)[0] > to_rgb(c)[2] for c in DOMESTIC)
    assert all(to_rgb(c)[0] < to_rgb(c)[2] or c in ("#009E73", "#000000", "#00543D") for c in GLOBAL)
    beside = colours([*MACHINES, "mine"], MACHINES)
    red, green, blue = to_rgb(beside["mine"])
    assert red == green == blue
    assert colours(["a", "b"])["a"] != colours(["a", "b"])["b"]


def test_without_a_column_of_origins_the_catalogue_is_asked() -> None:
    data = table({"hgx-h100": "?", "atlas-950": "?"}, ("nominal",)).drop(columns="origin")
    ax = plots.plot_scaling(data, size=2**30)
    drawn = {line.get_label(): line.get_color() for line in ax.get_lines()}
    assert (drawn["hgx-h100"], drawn["atlas-950"]) == (GLOBAL[0], DOMESTIC[0])


heights = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(heights, st.floats(0.001, 0.3))
def test_spread_labels_keep_apart_inside_and_in_order(wanted: list[float], gap: float) -> None:
    got = spread(wanted, gap, 0.0, 1.0)
    fits = min(gap, 1 / max(len(wanted) - 1, 1))
    in_order = got[np.argsort(wanted, kind="stable")]
    assert (np.diff(in_order) >= fits - 1e-12).all()
    assert got.min() >= -1e-12 and got.max() <= 1 + 1e-12


@given(heights, st.floats(0.001, 0.08))
def test_spread_is_the_least_squares_solution(wanted: list[float], gap: float) -> None:
    """Isotonic regression of w_i - i gap, by scipy, where the bounds do not bind."""
    steps = gap * np.arange(len(wanted))
    oracle = isotonic_regression(np.sort(wanted) - steps).x + steps
    np.testing.assert_allclose(np.sort(spread(wanted, gap, -10.0, 10.0)), oracle, atol=1e-12)


def test_spread_leaves_alone_what_is_apart() -> None:
    assert spread([0.9, 0.1, 0.5], 0.2, 0.0, 1.0).tolist() == pytest.approx([0.9, 0.1, 0.5], abs=1e-15)
    assert spread([], 0.2, 0.0, 1.0).size == 0


@given(st.integers(0, 40), st.integers(0, 20), st.integers(2, 9))
def test_ticks_are_even_powers_of_two_and_few(first: int, octaves: int, most: int) -> None:
    ticks = binary_ticks(2**first, 2 ** (first + octaves), most=most)
    exponents = [tick.bit_length() - 1 for tick in ticks]
    assert all(2**e == tick for e, tick in zip(exponents, ticks, strict=True))
    assert all(first <= e <= first + octaves for e in exponents)
    assert len(set(np.diff(exponents))) <= 1
    assert 1 <= len(ticks) <= most


def test_overlay_sets_points_of_the_same_case_and_size_side_by_side() -> None:
    both = join(points(), points(1.25))
    assert both["ratio"].to_numpy() == pytest.approx(0.8)
    above, below = plots.plot_overlay(points(), points(1.25))
    markers = [line for line in above.get_lines() if line.get_linestyle() == "None"]
    measured = np.concatenate([line.get_ydata() for line in markers])
    np.testing.assert_allclose(np.sort(measured), np.sort(points(1.25)["busbw"] / 1e9))
    assert below.get_ylim()[0] * below.get_ylim()[1] == pytest.approx(1.0)
    with pytest.raises(FormatError, match="no \\(case, size\\) in common"):
        join(points(), points().assign(size=7.0))


def test_breakdown_bars_add_up_to_the_time() -> None:
    ax = plots.plot_breakdown(BREAKDOWN)
    ends = dict.fromkeys(range(len(BREAKDOWN)), 0.0)
    for bar in ax.patches:
        ends[round(bar.get_y() + bar.get_height() / 2)] += bar.get_width()
    assert ax.get_xlabel() == "Time (us)"
    assert list(ends.values()) == pytest.approx([1e6 * sum(parts.values()) for parts in BREAKDOWN.values()])
    with pytest.raises(FormatError, match="must be >= 0"):
        plots.plot_breakdown({"run": {"latency": -1.0}})


def test_timeline_bars_are_the_records() -> None:
    ax = plots.plot_timeline(RECORDS)
    drawn = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
    expected = sorted((1e3 * a, 1e3 * b) for a, b in zip(RECORDS["start"], RECORDS["end"], strict=True))
    np.testing.assert_allclose(drawn, expected, atol=1e-12)
    assert ax.get_xlabel() == "Time (ms)"
    with pytest.raises(FormatError, match="the end must not come before the start"):
        plots.plot_timeline(RECORDS.assign(end=-1.0))


def test_comparison_ranks_by_the_largest_job() -> None:
    data = table()
    panels = plots.plot_comparison(data, chips=[8, 16384], size=2**30)
    names = [text.get_text() for text in panels[0].get_yticklabels()]
    at_large = data.query("chips == 16384 and size > 2e6 and estimate == 'nominal'").set_index("machine")[
        "busbw"
    ]
    assert names == [*at_large.sort_values(ascending=False).index, "atlas-950"]
    widths = sorted(bar.get_width() for bar in panels[1].patches)
    np.testing.assert_allclose(widths, np.sort(at_large) / 1e9)
    assert "–" in [text.get_text().strip() for text in panels[1].texts]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (table().drop(columns="busbw"), "lacks column 'busbw'"),
        (table().iloc[:0], "has no rows"),
        (table(), "two rows for machine = 'atlas-950' at chips = 8"),
    ],
)
def test_a_table_that_cannot_be_drawn_is_refused(data: pd.DataFrame, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        plots.plot_scaling(data)


def test_a_size_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(FormatError, match=r"no row with size = 5; it has 1,048,576, 1,073,741,824"):
        plots.plot_scaling(table(), size=5)


def test_importing_plots_imports_nothing_heavy() -> None:
    code = "import sim.plots, sys; print([m for m in ('matplotlib', 'pandas', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_measured_points_and_the_line_rate_are_drawn_where_they_are() -> None:
    measured = points().query("case == 'hgx-h100'")
    ax = plots.plot_busbw(table(ONE), chips=64, line_rate=60e9, measured=measured)
    (markers,) = [line for line in ax.get_lines() if line.get_linestyle() == "None"]
    np.testing.assert_allclose(markers.get_ydata(), measured["busbw"] / 1e9)
    dashes = [line for line in ax.get_lines() if line.get_linestyle() == "--" or line.is_dashed()]
    assert [list(line.get_ydata()) for line in dashes] == [[60.0, 60.0]]
    assert ax.get_ylim()[1] >= 60


def test_efficiency_against_the_smallest_begins_at_a_hundred() -> None:
    data = table(ONE, ("nominal",)).query("size > 2e6")
    ax = plots.plot_efficiency(data, against="smallest")
    (curve,) = [line for line in ax.get_lines() if line.get_label() == "hgx-h100"]
    np.testing.assert_allclose(curve.get_ydata(), 100 * data["busbw"] / data["busbw"].iloc[0])
    with pytest.raises(FormatError, match="must be one of bound, smallest"):
        plots.plot_efficiency(data, against="largest")


def test_ceilings_meet_where_the_formula_says() -> None:
    """Busbw <= 1.75 size / 2 us and <= 175 GB/s: they meet at 2 us x 100 GB/s = 195.3 KiB."""
    ax = plots.plot_roofline(sweep(), latency=2e-6)
    slope, flat = (line.get_ydata() for line in ax.get_lines()[1:3])
    np.testing.assert_allclose(flat, 175.0)
    np.testing.assert_allclose(slope, [1.75 * size / 2e-6 / 1e9 for size in (2**10, 2**30)])
    assert any("195.3 KiB" in text.get_text() for text in ax.texts)
    with pytest.raises(FormatError, match="one machine at one number of chips"):
        plots.plot_roofline(table({"a": "global", "b": "global"}, ("nominal",)).query("chips == 8"))


def test_transfer_times_are_their_distribution() -> None:
    """Times 4, 5, 6, 7 us: a quarter each."""
    (curve,) = plots.plot_transfer_times(TRANSFERS).get_lines()
    np.testing.assert_allclose(curve.get_xdata(), [4, 4, 5, 6, 7])
    np.testing.assert_allclose(curve.get_ydata(), [0, 25, 50, 75, 100])


def test_pairs_of_a_ring_are_neighbours_and_its_links_as_busy_as_measured() -> None:
    """An all-reduce by the ring sends 2 (p - 1) / p of the buffer to the next chip, over its one link."""
    run = sim.all_reduce(RING, "12 MB", algorithm="ring", library="ideal")
    table = pairs(run)
    assert list(zip(table["src"], table["dst"], strict=True)) == [(i, (i + 1) % 12) for i in range(12)]
    np.testing.assert_allclose(table["bytes"], 22e6)
    np.testing.assert_allclose(table["utilisation"], 22e6 / 50e9 / run.time)
    with pytest.raises(FormatError, match="must be one of utilisation, bytes"):
        plots.plot_pairs(table, quantity="time")


def test_links_show_the_busier_of_parallel_ones_and_directions() -> None:
    links = sim.broadcast(RING, "1 MiB", algorithm="chain", library="ideal").links
    ax = plots.plot_links(RING, links)
    (lines,) = [c for c in ax.collections if isinstance(c, LineCollection) and c.get_array() is not None]
    assert float(lines.get_array().max()) == pytest.approx(links["utilisation"].max())


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (topologies.ring(9, bandwidth=50e9, latency=0), 100e9),
        (topologies.torus((4, 4), bandwidth=10e9, latency=0), 80e9),
        (topologies.hypercube(16, bandwidth=10e9, latency=0), 80e9),
        (topologies.full_mesh(8, bandwidth=10e9, latency=0), 160e9),
        (topologies.leaf_spine(16, per_leaf=4, oversubscription=2, bandwidth=10e9, latency=0), 40e9),
        (topologies.switch(1, bandwidth=1e9, latency=0), 0.0),
    ],
    ids=["ring", "torus", "hypercube", "full mesh", "leaf and spine", "one chip"],
)  # fmt: skip
def test_bisection_of_known_fabrics(graph: Any, expected: float) -> None:
    """Dally and Towles 2004: a ring is cut twice, a k x k torus 2 k times, a hypercube p / 2 times."""
    assert bisection(graph) == pytest.approx(expected, rel=1e-6)
