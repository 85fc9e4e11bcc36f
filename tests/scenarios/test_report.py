"""The page of a scenario: whole by itself, escaped, its links lead somewhere, and a real browser shows it."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scenarios.outputs import OutputFolder
from scenarios.report import PAGE, ROWS, Report
from topologies.machines import describe

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium here: apt-get install chromium")

#: Such as CI machines have: no sandbox for root, no GPU, no network to call home on.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--enable-logging=stderr", "--virtual-time-budget=3000",
)  # fmt: skip

MACHINES = ("metax-c500", "hgx-a100")

#: What a page says of itself once it is loaded, as JSON in an attribute.
PROBE = """<script>addEventListener("load", () => {
  const all = [...document.querySelectorAll("body *")];
  parent.document.documentElement.dataset.probe = JSON.stringify({
    width: innerWidth,
    scrolled: document.documentElement.scrollWidth,
    pictures: [...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width, i.alt]),
    smallest: Math.min(...all.map(e => parseFloat(getComputedStyle(e).fontSize))),
    cut: all.filter(e => e.matches("h1,h2,h3,p,figcaption,summary,li") && e.scrollWidth > e.clientWidth + 1)
      .map(e => e.textContent.slice(0, 60)),
  });
});</script></body>"""


class Elements(HTMLParser):
    """Tags with their attributes, and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from scenarios.allreduce_scaling import main

    place = tmp_path_factory.mktemp("report")
    options = ["--machines", *MACHINES, "--chips", "8,16", "--size", "1 MiB", "--size", "1 GiB", "--quiet"]
    assert main(["-o", str(place), *options]) == 0
    return place


def _validation_report(place: Path) -> None:
    """The page of the report, of a few rows."""
    from functools import partial

    from scenarios import validation_report
    from scenarios.outputs import save_figure
    from scenarios.validation import MEASURED, counted, predict
    from scenarios.validation_figures import by_size, measured_against_simulated
    from scenarios.validation_targets import Target
    from sim.measurements import read
    from sim.predict import Predictor
    from topologies.systems import Systems

    rows = read(MEASURED).rows
    few = rows[(rows["system"] == "NVIDIA h100_sxm (aiconfigurator)") & (rows["n_ranks"] == 8)]
    good = counted(predict(few.head(42).reset_index(drop=True), Systems(), Predictor()))
    out = OutputFolder(place)
    figures = {"validation": measured_against_simulated(good), "validation-by-size": by_size(good)}
    for name, figure in figures.items():
        out.write(f"img/{name}.png", partial(save_figure, figure=figure))
    left = pd.DataFrame({"system": ["<none>"], "rows": [0], "median": [float("nan")]})
    validation_report.write_page(out, good, [Target("<median>", 42, "< 10 %", "9 %", True)], left)


def _validation_targets(place: Path) -> None:
    from scenarios import validation_targets

    few = [validation_targets.Target("choice", 9, "> 90 %", "8 of 9", False)]
    left = pd.DataFrame({"system": ["one"], "rows": [3], "median": [0.1]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation_targets, "targets", lambda report: (few, left))
        assert validation_targets.main(["-o", str(place), "-q"]) == 0


def _run(name: str, *options: str) -> Callable[[Path], None]:
    """The page of a scenario that is asked for little."""

    def make(place: Path) -> None:
        module = importlib.import_module(f"scenarios.{name}")
        assert module.main(["-o", str(place), "-q", *options]) == 0

    return make


#: How each scenario makes its page, of little; ``allreduce_scaling`` is the `folder` above.
SCENARIOS: dict[str, Callable[[Path], None]] = {
    "collectives_table": _run("collectives_table", "--fabrics", "full mesh of 8", "TPU v5p 4x4x4"),
    "domestic_vs_global": _run("domestic_vs_global", "--machines", *MACHINES, "--chips", "8,16"),
    "measured_overlay": _run("measured_overlay", "--machines", "hgx-h100"),
    "validation_report": _validation_report,
    "validation_targets": _validation_targets,
    "wire_or_algorithm": _run("wire_or_algorithm", "--chips", "8"),
}

#: Sections of their pages, besides the manifest.
SECTIONS = {
    "collectives_table": {"tables", "machines"},
    "domestic_vs_global": {"figures", "tables", "explanation", "machines"},
    "measured_overlay": {"figures", "tables", "explanation", "machines"},
    "validation_report": {"figures", "tables"},
    "validation_targets": {"tables"},
    "wire_or_algorithm": {"figures", "tables", "explanation", "machines"},
}


@pytest.fixture(scope="module", params=sorted(SCENARIOS))
def scenario(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A scenario by name, and the folder it wrote."""
    place = tmp_path_factory.mktemp("page")
    SCENARIOS[request.param](place)
    return request.param, place


def test_no_scenario_is_without_a_page() -> None:
    from scenarios.commands.run import scenarios

    # The one writes figures of libraries for the simulator, nothing for people; the other runs three
    # of the others, each with its page.
    without = {"calibrate_libraries", "demo"}
    assert {name for name, _ in scenarios()} - without == {*SCENARIOS, "allreduce_scaling"}


@pytest.mark.slow
def test_every_scenario_writes_its_page(scenario: tuple[str, Path]) -> None:
    name, place = scenario
    page = Elements((place / PAGE).read_text(encoding="utf-8"))
    assert {str(a["id"]) for tag, a in page.tags if tag == "section"} == {*SECTIONS[name], "manifest"}
    for tag, attributes in page.tags:
        assert tag != "script"
        if "src" in attributes:
            assert str(attributes["src"]).startswith("data:image/")
        link = str(attributes.get("href", "#"))
        assert link.startswith(("#", "data:")) or (place / link).is_file(), link
    manifest = json.loads((place / f"{name}.manifest.json").read_text(encoding="utf-8"))
    assert PAGE in manifest["files"]


@in_browser
@pytest.mark.slow
def test_every_page_is_readable_on_a_narrow_screen(scenario: tuple[str, Path], tmp_path: Path) -> None:
    found, console = browse(scenario[1] / PAGE, tmp_path, 400)
    assert console == ""
    assert found["scrolled"] <= 400
    assert ("figures" in SECTIONS[scenario[0]]) == bool(found["pictures"])
    assert all(natural > 0 and shown >= 500 and alt for natural, shown, alt in found["pictures"])
    assert found["smallest"] >= 13
    assert found["cut"] == []


def browse(page: Path, profile: Path, width: int) -> tuple[dict[str, Any], str]:
    """Load a page in the browser; gives what the probe found and what the console said.

    The page stands in a frame: windows are never narrower than 500 pixels.
    """
    probed = page.with_name("probed.html")
    text = escape(page.read_text(encoding="utf-8").replace("</body>", PROBE))
    probed.write_text(
        f'<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
        f'<iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{text}"></iframe>',
        encoding="utf-8",
    )
    done = subprocess.run(
        [str(BROWSER), *FLAGS, f"--user-data-dir={profile}", "--window-size=1400,1000", "--dump-dom",
         probed.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    probed.unlink()
    (found,) = re.findall(r'data-probe="([^"]*)"', done.stdout)
    console = "\n".join(line for line in done.stderr.splitlines() if ":CONSOLE" in line)
    return json.loads(found.replace("&quot;", '"').replace("&amp;", "&")), console


def test_says_question_evidence_explanation_and_manifest(folder: Path) -> None:
    words = " ".join(Elements((folder / PAGE).read_text(encoding="utf-8")).words)
    assert "How well do clusters of domestic and global accelerators communicate" in words
    for name in MACHINES:
        machine = describe(name)
        assert machine.title in words
        assert all(figure.source in words and figure.evidence in words for _, figure in machine.figures())
    assert words.count("Bounded by ") == len(MACHINES)
    assert "What would help most" in words
    manifest = json.loads((folder / "allreduce_scaling.manifest.json").read_text(encoding="utf-8"))
    assert PAGE in manifest["files"]
    assert manifest["inputs_sha256"] in words
    assert all(digest in words for name, digest in manifest["files"].items() if name != PAGE)
    assert "wall_time_s" not in words


def test_needs_nothing_but_itself_and_every_link_leads_somewhere(folder: Path) -> None:
    tags = Elements((folder / PAGE).read_text(encoding="utf-8")).tags
    assert "script" not in [tag for tag, _ in tags]
    loaded = [a["src"] for _, a in tags if "src" in a] + [a["href"] for tag, a in tags if tag == "link"]
    assert len(loaded) == 5  # four figures and the icon
    assert all(str(source).startswith("data:") for source in loaded)
    identities = [a["id"] for _, a in tags if "id" in a]
    assert len(identities) == len(set(identities))
    links = [str(a["href"]) for tag, a in tags if tag == "a"]
    assert len(links) > 8
    for link in links:
        assert link[1:] in identities if link.startswith("#") else (folder / link).is_file(), link


def test_words_cannot_become_tags_and_long_tables_say_so(tmp_path: Path) -> None:
    out = OutputFolder(tmp_path)
    table = pd.DataFrame({"name": ["<b>bold</b>"] * (ROWS + 1), "time": [1.5e-6] * (ROWS + 1)})
    out.write_table("t.csv", table)
    report = Report(
        "<script>alert(1)</script>", "a & b\n\nc < d", tables={"t.csv": ("T", table)},
        explanations=[("</pre>", "words\n  <i>row</i>")],
    )  # fmt: skip
    out.manifest("t", inputs={"text": "</pre><script>"}, report=report)
    page = Elements((tmp_path / PAGE).read_text(encoding="utf-8"))
    assert not {"script", "b", "i"} & {tag for tag, _ in page.tags}
    words = " ".join(page.words)
    assert "a & b" in words
    assert f"The first {ROWS} of {ROWS + 1} rows" in words
    assert sum(tag == "tr" for tag, _ in page.tags) == ROWS + 1
    assert "1.5 us" in words


@in_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_renders_in_a_browser_without_a_word_on_the_console(folder: Path, tmp_path: Path, width: int) -> None:
    """The page itself never scrolls sideways, every figure is drawn, no text is cut or tiny."""
    opened = folder / "opened.html"
    opened.write_text((folder / PAGE).read_text(encoding="utf-8").replace("<details>", "<details open>"))
    found, console = browse(opened, tmp_path, width)
    assert console == ""
    assert found["width"] == width
    assert found["scrolled"] <= width
    assert len(found["pictures"]) == 4
    for natural, shown, alt in found["pictures"]:
        assert natural > 0
        assert shown >= 500
        assert alt
    assert found["smallest"] >= 13
    assert found["cut"] == []


@in_browser
@pytest.mark.slow
def test_the_browser_would_have_told(tmp_path: Path) -> None:
    """The test above would see an error, a broken picture, a page too wide."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<html><body><script>throw new Error("no")</script><img src="data:image/png;base64,AA" alt="x">'
        '<p style="width:2000px">wide</p></body></html>'
    )
    found, console = browse(bad, tmp_path / "profile", 400)
    assert "no" in console
    assert found["pictures"][0][0] == 0
    assert found["scrolled"] > 400


def test_a_scenario_of_ones_own_writes_a_page(tmp_path: Path, chipweave: Callable[..., Any]) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        "from scenarios.outputs import OutputFolder\n"
        "from scenarios.explanations import explanations\n"
        "from scenarios.report import Report\n"
        "def main(argv):\n"
        "    folder = OutputFolder(argv[1])\n"
        "    said = explanations([('hgx-h100', 8, 2.0**20)])\n"
        "    folder.manifest('mine', inputs={}, report=Report('Mine?', explanations=said))\n"
    )
    done = chipweave("run", str(script), "-o", str(tmp_path / "out"))
    assert done.code == 0, done.err
    assert "Bounded by" in (tmp_path / "out" / PAGE).read_text(encoding="utf-8")
