"""What is heavy is imported where it is used: nobody waits for pandas to read a help text."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("IPython", "matplotlib", "numba", "pandas", "pint", "pydantic", "rich", "scipy")


def loaded_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    report = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("statement", "needed"),
    [
        ("import topologies", {"topologies", "networkx"}),
        ("import sim, topologies", {"sim", "topologies", "networkx"}),
    ],
)
def test_packages_are_light(statement: str, needed: set[str]) -> None:
    loaded = loaded_after(statement)
    assert needed <= loaded
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("arguments", [["--help"], ["bench", "--help"], ["run"]])
def test_help_waits_for_nothing(arguments: list[str]) -> None:
    # typer itself reads the options with pydantic.
    loaded = loaded_after(f"from scenarios.cli import main\nassert main({arguments}) == 0")
    assert "typer" in loaded
    assert not loaded & ({*HEAVY, "networkx", "numpy", "sim"} - {"pydantic"})


@pytest.mark.parametrize("package", ["topologies", "sim", "scenarios"])
def test_public_names_exist(package: str) -> None:
    module = __import__(package)
    missing = [name for name in getattr(module, "__all__", []) if not hasattr(module, name)]
    assert missing == []
