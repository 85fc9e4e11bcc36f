"""The gallery: every script is short, runs, and stands in the index with its picture."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.sim.test_plots import assert_readable

GALLERY = Path(__file__).parent.parent / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_is_short_and_in_the_index(script: Path) -> None:
    index = (GALLERY / "README.md").read_text(encoding="utf-8")
    assert f"]({script.name})" in index
    assert f"](img/{script.stem}.svg)" in index
    assert len(script.read_text(encoding="utf-8").splitlines()) < 60
    picture = (GALLERY / "img" / f"{script.stem}.svg").read_text(encoding="utf-8")
    assert picture.startswith("<?xml")


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_every_text_can_be_read(script: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"gallery_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert_readable(module.figure().axes[0])
