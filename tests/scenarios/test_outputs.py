"""Files are whole or not there; results are the same bytes each time; bars only where it takes long."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from scenarios import __version__
from scenarios.outputs import OutputFolder, check_writable, save_figure, sha256, write_file, write_manifest
from scenarios.progress import PATIENCE, progress
from topologies.errors import FormatError, OutputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


class TestWriteFile:
    def test_replaces_what_was_there(self, tmp_path: Path) -> None:
        target = tmp_path / "a" / "result.txt"
        for text in ("old", "new"):
            assert write_file(target, lambda path, text=text: path.write_text(text)) == target
            assert target.read_text() == text
        assert names(tmp_path) == ["a", "result.txt"]

    @pytest.mark.parametrize("failure", [RuntimeError("simulation died"), KeyboardInterrupt()])
    def test_failure_in_the_middle_leaves_the_old_file_and_no_other(
        self, tmp_path: Path, failure: BaseException
    ) -> None:
        target = tmp_path / "result.txt"
        target.write_text("old")

        def half(path: Path) -> None:
            path.write_text("ne")
            raise failure

        with pytest.raises(type(failure)):
            write_file(target, half)
        assert target.read_text() == "old"
        assert names(tmp_path) == ["result.txt"]

    def test_a_full_disk_is_said_with_the_path(self, tmp_path: Path) -> None:
        def full(path: Path) -> None:
            path.write_text("ne")
            raise OSError(28, "No space left on device")

        with pytest.raises(OutputError, match=r"result\.txt.*No space left on device"):
            write_file(tmp_path / "result.txt", full)
        assert names(tmp_path) == []

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="it is a folder"):
            write_file(tmp_path, lambda path: path.write_text(""))

    def test_writer_sees_the_suffix_that_decides_the_format(self, tmp_path: Path) -> None:
        seen: list[str] = []
        write_file(tmp_path / "a.svg", lambda path: (seen.append(path.suffix), path.write_text("")))
        assert seen == [".svg"]


class TestCheckWritable:
    def test_leaves_nothing_behind(self, tmp_path: Path) -> None:
        check_writable(tmp_path / "x" / "y")
        OutputFolder(tmp_path / "z")
        assert names(tmp_path) == []

    @pytest.mark.parametrize("below", ["", "deeper", "deeper/still"])
    def test_refuses_what_lies_in_a_file(self, tmp_path: Path, below: str) -> None:
        (tmp_path / "file").write_text("")
        folder = tmp_path / "file" / below
        with pytest.raises(OutputError, match="is not a folder") as refusal:
            OutputFolder(folder)
        assert str(folder) in str(refusal.value)

    def test_refuses_where_the_system_does(self) -> None:
        # Even root writes no files into /proc.
        if not Path("/proc/self").exists():
            pytest.skip("needs Linux's /proc")
        with pytest.raises(OutputError, match="/proc"):
            check_writable("/proc/chipweave")

    def test_a_dangling_link_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "gone")
        with pytest.raises(OutputError, match="is not a folder"):
            check_writable(tmp_path / "link" / "out")


class TestManifest:
    def test_says_how_the_files_came_about(self, tmp_path: Path) -> None:
        source = tmp_path / "in.graphml"
        source.write_bytes(b"graph")
        folder = OutputFolder(tmp_path / "out")
        folder.write_text("answer.txt", "42\n")
        path = folder.manifest(
            "answer", inputs={"chips": (8, 16), "path": source}, input_files=[source], seed=7
        )
        content = json.loads(path.read_text())
        assert path == tmp_path / "out" / "answer.manifest.json"
        assert content["chipweave"] == __version__
        assert content["inputs"] == {"chips": [8, 16], "path": str(source)}
        assert content["input_files"] == {str(source): hashlib.sha256(b"graph").hexdigest()}
        assert content["files"] == {"answer.txt": hashlib.sha256(b"42\n").hexdigest()}
        assert content["seed"] == 7
        assert content["wall_time_s"] >= 0
        assert folder.files == []

    def test_hash_of_the_inputs_depends_on_the_inputs_alone(self, tmp_path: Path) -> None:
        def inputs_hash(seconds: float, **inputs: object) -> str:
            path = write_manifest(tmp_path / "m.json", files=[], inputs=inputs, wall_time=seconds)
            return str(json.loads(path.read_text())["inputs_sha256"])

        assert inputs_hash(1.0, a=1, b=2) == inputs_hash(2.0, b=2, a=1)
        assert inputs_hash(1.0, a=1, b=2) != inputs_hash(1.0, a=1, b=3)

    def test_an_input_that_is_gone_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match=r"gone\.csv"):
            sha256(tmp_path / "gone.csv")


class TestResults:
    table = pd.DataFrame({"machine": ["a", "b"], "busbw": [1 / 3 * 1e11, 2e11], "chips": [8, 16]})

    def test_csv_is_exactly_this(self, tmp_path: Path) -> None:
        path = OutputFolder(tmp_path).write_table("t.csv", self.table)
        assert path.read_bytes() == b"machine,busbw,chips\na,33333333333.3,8\nb,200000000000,16\n"

    def test_figures_are_the_same_bytes_twice(self, tmp_path: Path) -> None:
        import matplotlib.pyplot as plt

        written = []
        for name in ("one", "two"):
            figure, axes = plt.subplots()
            axes.plot([1, 2], [3, 4])
            folder = OutputFolder(tmp_path / name)
            written.append([path.read_bytes() for path in folder.write_figure("fig", figure)])
            save_figure(tmp_path / name / "fig.pdf", figure)
            written[-1].append((tmp_path / name / "fig.pdf").read_bytes())
            plt.close(figure)
        assert written[0] == written[1]
        assert names(tmp_path / "one") == ["fig.pdf", "fig.png", "fig.svg"]


class TestProgress:
    def shown(self, *, seconds: float, quiet: bool = False, terminal: bool = True) -> str:
        from rich.console import Console

        now = 0.0
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=terminal, width=100)
        with progress("all_reduce", quiet=quiet, console=console, clock=lambda: now) as report:
            report(1, 4, "first")
            now = seconds
            report(2, 4, "second")
        return stream.getvalue()

    def test_short_work_shows_nothing(self) -> None:
        assert self.shown(seconds=PATIENCE * 0.99) == ""

    def test_long_work_shows_how_far_it_is(self) -> None:
        shown = self.shown(seconds=PATIENCE)
        assert "all_reduce" in shown
        assert "2/4" in shown
        assert "second" in shown

    def test_quiet_and_logs_show_nothing(self) -> None:
        assert self.shown(seconds=60, quiet=True) == ""
        assert self.shown(seconds=60, terminal=False) == ""
