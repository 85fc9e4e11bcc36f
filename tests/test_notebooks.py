"""Notebooks run from top to bottom, and are kept without their outputs."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert "01_first_fabric" in [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_listed_and_its_links_lead_somewhere(path: Path) -> None:
    for page in ("README.md", "docs/quickstart.md"):
        assert f"notebooks/{path.name})" in (ROOT / page).read_text(encoding="utf-8")
    words = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", words)
    pages = re.findall(r"`((?:docs|notebooks)/[\w./-]+)`", words)
    assert [link for link in links if not (path.parent / link).exists()] == []
    assert [page for page in pages if not (ROOT / page).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty folder, on the code of this checkout; every plot leaves a picture."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # As in Jupyter: the tests' own backend would show nothing.
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code" and ("plot_" in cell.source or "draw(" in cell.source):
            pictures = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
            assert len(pictures) == 1, cell.source
            assert base64.b64decode(pictures[0]).startswith(b"\x89PNG")
        for output in cell.get("outputs", []):
            assert output.output_type != "error" and output.get("name") != "stderr", output
    assert list(tmp_path.iterdir()) == []
