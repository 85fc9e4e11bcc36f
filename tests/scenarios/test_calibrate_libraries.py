"""``chipweave run calibrate_libraries``: the shipped figures are what the command writes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from scenarios.calibrate_libraries import CALIBRATED, HEAD, fitted, main, texts
from scenarios.calibration import STAGES
from sim.libraries.parameters import flat, read_figure

#: Stages that stand on no other, and are fitted in seconds.
ALONE = ("where.generation.ada.", "where.generation.cdna3.", "where.machine.arc-pro-b60.")


def figures(text: str) -> dict[str, Any]:
    return dict(flat(tomllib.loads(text), "", "file"))


def shipped() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(CALIBRATED.glob("*.toml"))}


def test_every_shipped_figure_is_of_a_stage() -> None:
    for name, text in shipped().items():
        assert text.startswith(HEAD), f"{name} was not written by the command"
        prefixes = {s.prefix for s in STAGES if f"{s.library}.toml" == name}
        found = figures(text)
        assert {p for p in prefixes if any(path.startswith(p) for path in found)} == prefixes
        for path, table in found.items():
            assert any(path.startswith(p) for p in prefixes), path
            assert table["residual"] >= 0 and set(table["range"]) == {"ranks", "hosts", "bytes"}, path


@pytest.mark.slow
def test_the_command_gives_the_shipped_figures_again() -> None:
    """Of a part; processors differ in the last digit that is written."""
    again = texts(fitted(tuple(s for s in STAGES if s.prefix in ALONE)))
    compared = 0
    for name, text in again.items():
        here = figures(shipped()[name])
        for path, table in figures(text).items():
            value = read_figure(table, path, name).value
            assert read_figure(here[path], path, name).value == pytest.approx(value, rel=2e-3), path
            assert here[path]["source"] == table["source"] and here[path]["range"] == table["range"]
            compared += 1
    assert compared > 30


def test_check_says_what_would_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command over one small stage: written, checked, changed, checked."""
    small = tuple(s for s in STAGES if s.library == "oneccl")
    monkeypatch.setattr("scenarios.calibrate_libraries.fitted", lambda report=None: fitted(small))
    assert main(["-q", "-o", str(tmp_path)]) == 0
    assert main(["-q", "-o", str(tmp_path), "--check"]) == 0
    path = tmp_path / "oneccl.toml"
    path.write_text(path.read_text(encoding="utf-8") + "# by hand\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["-q", "-o", str(tmp_path), "--check"]) == 1
    assert "is not what the rows give" in capsys.readouterr().out
