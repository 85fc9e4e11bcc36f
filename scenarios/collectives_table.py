"""Every algorithm of every collective on eight fabrics: busbw side by side, so that wrong ones stand out.

Without software costs (library ``ideal``), at one size. Where a fabric has hosts
an algorithm runs in one channel and in as many as a host has chips, on a torus
one way round and both ways where it can; the faster is shown. What cannot run
says why in the CSV and is a dash in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.arguments import ScenarioParser
from scenarios.outputs import OutputFolder
from scenarios.pages import replace_marked
from scenarios.processes import processors, spread
from scenarios.progress import progress
from scenarios.report import Report
from topologies.errors import ChipweaveError, nearest

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

__all__ = ["FABRICS", "MARK", "main", "markdown", "random_graph", "table"]

NAME = "collectives_table"

#: Name of the marks around the table in docs/collectives.md.
MARK = "busbw of every algorithm"

#: A barrier's token, in bytes.
TOKEN = 8.0

#: A round of more transfers than this is not run in several channels.
CROWDED = 20_000

#: Of the shapes that are not machines.
LINK: dict[str, Any] = {"bandwidth": "50 GB/s", "latency": "1 us"}

#: Algorithms whose bound is another than that of plain messages.
IN_NETWORK = ("in_network", "nvls", "nvls_tree", "collnet")

#: Besides the default of ``hierarchical``, a ring at both levels.
MESH_INSIDE = ("hierarchical:mesh/nhr", "hierarchical:mesh/ring")
LEADERS = "hierarchical:chain/double_binary_tree"
LEVELS = {
    "all_reduce": (*MESH_INSIDE, LEADERS),
    "all_gather": MESH_INSIDE,
    "reduce_scatter": MESH_INSIDE,
}

COLUMNS = (
    "fabric", "chips", "collective", "algorithm", "options", "size", "time", "busbw", "lower_bound",
    "efficiency", "refused",
)  # fmt: skip


def random_graph(chips: int = 20, links: int = 40, seed: int = 0) -> nx.Graph[Any]:
    """Chips joined at random: a random tree, so that all are joined, and further links.

    Examples
    --------
    >>> graph = random_graph()
    >>> len(graph), graph.number_of_edges()
    (20, 40)
    """
    import random

    import networkx as nx

    draw = random.Random(seed)
    graph: nx.Graph[Any] = nx.Graph(name=f"random-{chips}")
    graph.add_nodes_from(range(chips), kind="chip")
    order = list(range(chips))
    draw.shuffle(order)
    for place, chip in enumerate(order[1:], start=1):
        graph.add_edge(chip, draw.choice(order[:place]), **LINK)
    while graph.number_of_edges() < links:
        one, other = draw.sample(range(chips), 2)
        graph.add_edge(one, other, **LINK)
    return graph


def _machine(name: str, chips: int) -> nx.Graph[Any]:
    import topologies

    return topologies.machine(name, chips=chips)


def _shape(name: str, *of: Any, **more: Any) -> nx.Graph[Any]:
    import topologies

    graph: nx.Graph[Any] = getattr(topologies, name)(*of, **more, **LINK)
    return graph


FABRICS: dict[str, Callable[[], nx.Graph[Any]]] = {
    "full mesh of 8": partial(_shape, "full_mesh", 8),
    "ring of 8": partial(_shape, "ring", 8),
    "4 HGX H100": partial(_machine, "hgx-h100", 32),
    "4 Atlas 800T A2": partial(_machine, "atlas-800t-a2", 32),
    "CloudMatrix384": partial(_machine, "cloudmatrix384", 384),
    "TPU v5p 4x4x4": partial(_machine, "tpu-v5p", 64),
    "fat tree of 64, 2:1": partial(_shape, "fat_tree", 64, oversubscription=2),
    "random graph of 20": random_graph,
}

#: Names in the catalogue of the fabrics that are machines.
MACHINES = {
    "4 HGX H100": "hgx-h100",
    "4 Atlas 800T A2": "atlas-800t-a2",
    "CloudMatrix384": "cloudmatrix384",
    "TPU v5p 4x4x4": "tpu-v5p",
}


def main(argv: list[str] | None = None) -> int:
    """Run the scenario; see ``--help`` for its options.

    Returns
    -------
    int
        Exit code: 0.

    Raises
    ------
    ChipweaveError
        For a fabric, size, folder or page that cannot be used.
    """
    from topologies.units import format_size, size

    parser = ScenarioParser(NAME, __doc__.partition("\n")[0])
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default=f"out/{NAME}",
        help="where the files go (default: %(default)s)",
    )
    parser.add_argument(
        "--fabrics", metavar="NAME", nargs="+", help="some of the fabrics; by default all eight"
    )
    parser.add_argument("--size", default="256 MiB", help="message size (default: %(default)s)")
    parser.add_argument(
        "--page", metavar="FILE", type=Path, help=f"also write the table between the marks '{MARK}' of a page"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed, for the record: nothing is drawn by chance"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no messages")
    arguments = parser.parse_args(argv)
    names = arguments.fabrics or list(FABRICS)
    for name in names:
        if name not in FABRICS:
            raise nearest("fabric", name, FABRICS)
    asked = size(arguments.size, name="--size")
    folder = OutputFolder(arguments.output)
    found = table(names, asked, quiet=arguments.quiet)
    text = markdown(found)
    folder.write_table(f"{NAME}.csv", found)
    folder.write_text(f"{NAME}.md", text)
    beside, ran = side_by_side(found), found[found["refused"] == ""]
    folder.write_table(f"{NAME}-side-by-side.csv", beside)
    folder.manifest(
        NAME,
        inputs={"fabrics": names, "size": asked},
        seed=arguments.seed,
        report=Report(
            title=__doc__.partition("\n")[0],
            question=__doc__.partition("\n")[2],
            machines=[MACHINES[name] for name in names if name in MACHINES],
            tables={
                f"{NAME}-side-by-side.csv": (f"Bus bandwidth at {format_size(asked)}, GB/s", beside),
                f"{NAME}.csv": ("Those that run", ran.drop(columns=["size", "refused"])),
            },
        ),
    )
    if arguments.page is not None:
        replace_marked(arguments.page, MARK, text)
    if not arguments.quiet:
        print(text)
        print(f"written: {folder.path}/{NAME}.csv, .md and index.html")
    return 0


def table(names: list[str], size: float, *, quiet: bool = True, workers: int | None = None) -> pd.DataFrame:
    """Run every algorithm of every collective on some of the fabrics.

    Parameters
    ----------
    names : list of str
        Keys of `FABRICS`.
    size : float
        Bytes, as nccl-tests counts them.
    workers : int, optional
        Processes; by default one for each processor.

    Returns
    -------
    DataFrame
        One row a fabric, collective and algorithm: ``fabric``, ``chips``,
        ``collective``, ``algorithm``, ``options`` (of the fastest variant),
        ``size``, ``time`` and ``lower_bound`` (s), ``busbw`` (bytes/s),
        ``efficiency``, and ``refused``, why it did not run.
    """
    import pandas as pd

    parts: dict[str, list[tuple[Any, ...]]] = {}
    with progress("every algorithm", quiet=quiet) as report:
        for name, rows in spread(partial(_rows, size), names, workers or processors()):
            parts[name] = rows
            report(len(parts), len(names), name)
    return pd.DataFrame([row for name in names for row in parts[name]], columns=list(COLUMNS))


def _rows(size: float, name: str) -> list[tuple[Any, ...]]:
    import sim
    from sim.collectives import algorithms, kinds

    fabric = sim.compile_fabric(FABRICS[name]())
    rows: list[tuple[Any, ...]] = []
    for kind in kinds():
        amount = TOKEN if kind == "barrier" else size
        for algorithm in sorted([*algorithms(kind), *LEVELS.get(kind, ())]):
            best, refused = _fastest(kind, algorithm, fabric, amount)
            said = (name, fabric.ranks, kind, algorithm)
            if best is None:
                rows.append((*said, "", amount, *[float("nan")] * 4, refused))
                continue
            options, run = best
            words = ", ".join(f"{key}={value}" for key, value in options.items())
            rows.append(
                (*said, words, amount, run.time, run.busbw, run.lower_bound, run.lower_bound / run.time, "")
            )
    return rows


def _fastest(
    kind: str, algorithm: str, fabric: Any, size: float
) -> tuple[tuple[dict[str, Any], Any] | None, str]:
    """The fastest variant and its run; else why there is none."""
    import sim

    best: tuple[dict[str, Any], Any] | None = None
    refused = ""
    for options in _variants(kind, algorithm, fabric):
        try:
            run = sim.collective(kind, fabric, size, algorithm=algorithm, library="ideal", **options)
        except ChipweaveError as error:
            refused = refused or str(error)
            continue
        if best is None or run.time < best[1].time:
            best = options, run
    return best, refused


def _variants(kind: str, algorithm: str, fabric: Any) -> Iterator[dict[str, Any]]:
    from sim.collectives import build, options, serves, uses_network
    from sim.libraries.orders import full_mesh

    name, colon, _ = algorithm.partition(":")
    yield {}
    takes = options(kind, name)
    if "first" in takes:
        yield {"first": "inside" if kind == "reduce_scatter" else "between"}
    if "bidirectional" in takes and fabric.dims:
        yield {"bidirectional": True}
    if "channels" not in takes:
        return
    if colon:
        # Each channel has another leader; without leaders all NICs are busy in one channel.
        if algorithm == LEADERS and fabric.groups(fabric.rank_nodes) is not None:
            yield {"channels": "auto"}
        return
    # Algorithms by groups use all of a host's NICs in one channel, trees of switches all links of a chip.
    if uses_network(kind, name):
        return
    in_hosts = fabric.groups(fabric.rank_nodes) is not None or full_mesh(fabric, fabric.rank_nodes, None)
    if in_hosts and serves(kind, name, fabric.ranks) is None:
        busiest = max((r.src.size for r in build(kind, fabric.ranks, 8.0, name).rounds()), default=0)
        if busiest <= CROWDED:
            yield {"channels": "auto"}


def side_by_side(found: pd.DataFrame) -> pd.DataFrame:
    """Bus bandwidth in GB/s: a row a collective and algorithm, a column a fabric.

    Algorithms that run on none of the fabrics are left out.
    """
    wide = found.assign(busbw=found["busbw"] / 1e9).pivot(
        index=["collective", "algorithm"], columns="fabric", values="busbw"
    )
    wide = wide[list(dict.fromkeys(found["fabric"]))].dropna(how="all")
    wide.columns.name = None
    return wide[wide.max(axis=1) > 0].reset_index()


def markdown(found: pd.DataFrame) -> str:
    """Write the tables, one a collective: a row an algorithm, a column a fabric.

    The fastest of each column is bold; the last row is what the lower bound on
    the time of plain messages allows: switches that reduce may pass it.
    """
    from topologies.units import format_size

    fabrics = list(dict.fromkeys(found["fabric"]))
    chips = dict(zip(found["fabric"], found["chips"], strict=True))
    heads = [name if str(chips[name]) in name else f"{name} ({chips[name]})" for name in fabrics]
    parts = []
    for kind, part in found.groupby("collective", sort=False):
        token = kind == "barrier"
        what = "time in µs" if token else f"busbw in GB/s at {format_size(float(part['size'].iloc[0]))}"
        lines = [
            f"**{str(kind).replace('_', '-')}**, {what}",
            "",
            f"| | {' | '.join(heads)} |",
            f"|---|{'---:|' * len(fabrics)}",
        ]
        best = part.groupby("fabric")["time"].min()
        for algorithm, runs in part.groupby("algorithm", sort=False):
            of = runs.set_index("fabric")
            cells = [_cell(of.loc[name], best[name], token) for name in fabrics]
            lines.append(f"| `{algorithm}` | {' | '.join(cells)} |")
        if not token:
            plain = part[part["time"].notna() & ~part["algorithm"].isin(IN_NETWORK)]
            bounds = [plain[plain["fabric"] == name] for name in fabrics]
            limit = [
                f"{(run['busbw'] * run['time'] / run['lower_bound']).iloc[0] / 1e9:.4g}" for run in bounds
            ]
            lines.append(f"| *bound* | {' | '.join(limit)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _cell(row: Any, best: float, token: bool) -> str:
    if row["refused"]:
        return "–"
    value = row["time"] * 1e6 if token else row["busbw"] / 1e9
    text = f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    return f"**{text}**" if row["time"] <= best * (1 + 1e-9) else text
