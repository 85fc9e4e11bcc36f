"""The code of README and docs runs, and their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sim
import sim.plots
import topologies
from topologies import errors

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def blocks(page: Path) -> Iterator[tuple[str, str, int]]:
    """Language, text and line of every fenced block that can be run."""
    text = page.read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        if fence[1] in ("python", "console"):
            yield fence[1], fence[2], text.count("\n", 0, fence.start()) + 2


PAGES_THAT_RUN = [page for page in PAGES if any(blocks(page))]


@pytest.mark.parametrize("page", PAGES_THAT_RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chipweave: Callable[..., Any]
) -> None:
    """Top to bottom in one folder: what a block writes, a later one may read."""
    monkeypatch.chdir(tmp_path)
    for language, text, line in blocks(page):
        if language == "python":
            # Blank lines bring the line numbers of a failure to those of the page.
            code = compile("\n" * (line - 1) + text, str(page), "exec")
            exec(code, {"__name__": page.stem})
            continue
        commands = [entry[2:] for entry in text.splitlines() if entry.startswith("$ ")]
        assert commands, f"{page.name}:{line}: a console block without a command"
        for command in commands:
            programme, *arguments = shlex.split(command)
            assert programme == "chipweave", f"{page.name}:{line}: {command}"
            outcome = chipweave(*arguments)
            assert outcome.code == 0, f"{page.name}:{line}: {command}: {outcome.err}"
            # A command prints its result, or writes it where -o says.
            assert bool(outcome.out) or Path(arguments[arguments.index("-o") + 1]).is_file()


def test_the_first_page_has_both_kinds_of_code() -> None:
    assert {language for language, _, _ in blocks(ROOT / "README.md")} == {"python", "console"}


def test_every_public_name_has_its_page() -> None:
    """docs/api lists what `import sim, topologies` shows, and what pages of the site are made of."""
    listed = {
        name for page in (ROOT / "docs" / "api").glob("*.rst")
        for name in re.findall(r"^   (\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }  # fmt: skip
    public = {*sim.__all__, *topologies.__all__, *sim.plots.__all__, *errors.__all__} - {"nearest"}
    assert public - listed == set()


def test_every_page_is_on_the_site() -> None:
    """A page of docs/ that no table of contents names would be found by nobody."""
    docs = ROOT / "docs"
    named = set()
    for page in PAGES:
        for table in re.findall(
            r"^:::\{toctree\}\n(.*?)^:::$", page.read_text(encoding="utf-8"), re.M | re.S
        ):
            for line in table.splitlines():
                entry = re.search(r"([\w/-]+)>?$", line)
                if entry and not line.startswith(":"):
                    named.add((page.parent / entry[1]).relative_to(docs).as_posix())
    pages = {page.relative_to(docs).with_suffix("").as_posix() for page in PAGES if docs in page.parents}
    assert pages - named == {"index"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    gone = [
        link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()
    ]
    assert gone == []
