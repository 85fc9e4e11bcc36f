"""GOAL text: programs of MPI-like messages, as LogGOPSim and ATLAHS read them.

Hoefler, Siebert and Lumsdaine, "Group Operation Assembly Language - a flexible way to
express collective communication", ICPP 2009; grammar of spcl/LogGOPSim,
`src/Schedgen2/`. A file says for each rank which operations it has (local work in ns,
sends and receives in bytes) and which waits for which. What it means in time is in
`sim.programs.messages`.

A file written here begins with a comment that names the collective, its size, and
``S=0``: every message waits for its receiver, as in the schedule it was made of.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from sim.programs.messages import LogGOPS, Messages, Operation
from sim.programs.promise import KINDS
from sim.programs.unrolling import unrolled
from sim.schedule import Schedule
from topologies.errors import ChipweaveError, FormatError, ScheduleError

__all__ = ["parse", "text"]

TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|-?[0-9]+|\S")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
OURS = re.compile(r"//\s*chipweave\s+(collective=\S+.*)")
LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
KEYWORDS = frozenset(
    ["num_ranks", "rank", "calc", "send", "recv", "to", "from", "tag", "cpu", "nic", "requires", "irequires"]
)  # fmt: skip

#: Largest number of bytes, nanoseconds, tags; and of ranks that a file may speak of.
LARGEST, MOST_RANKS = 2**62, 2**20


def parse(text: str, settings: LogGOPS | None = None, name: str = "goal") -> Messages:
    """Read a program.

    Parameters
    ----------
    text : str
        The file.
    settings : LogGOPS, optional
        What messages cost besides the fabric; else what the file's own comment says,
        else ``LogGOPS()``.
    name : str
        What to call it where the file does not say.

    Raises
    ------
    FormatError
        If it is no such file, or its messages do not fit together; with the line.

    Examples
    --------
    >>> program = parse('''num_ranks 2
    ... rank 0 {
    ...   a: calc 1000
    ...   b: send 8b to 1 tag 7
    ...   b requires a
    ... }
    ... rank 1 { c: recv 8b from -1 tag -1
    ... }''')
    >>> program
    <Messages goal: 2 ranks, 3 operations>
    """
    reader = _Reader(text)
    ranks = reader.ranks()
    own = OURS.search(text)
    found = Messages(name, ranks, settings or LogGOPS())
    if own is not None:
        found = _as_written(found, own, text, settings)
    try:
        found.check()
    except ChipweaveError as error:
        raise FormatError(str(error)) from error
    return found


def _as_written(found: Messages, own: re.Match[str], text: str, settings: LogGOPS | None) -> Messages:
    """What a file's first comment says of it."""
    line = text.count("\n", 0, own.start()) + 1
    said = dict(word.split("=", 1) for word in own[1].split() if "=" in word)
    if said["collective"] not in KINDS:
        raise FormatError(
            f"line {line}: collective={said['collective'][:40]} must be one of {', '.join(KINDS)}"
        )
    try:
        size, eager = float(said.get("size", "nan")), int(said.get("S", found.settings.S))
    except ValueError:
        size, eager = math.nan, 0
    if not 0 < size < math.inf or eager < 0:
        raise FormatError(f"line {line}: size= and S= must be numbers of bytes")
    return replace(
        found,
        name=said.get("algorithm", found.name),
        kind=said["collective"],
        size=size,
        settings=settings or replace(found.settings, S=eager),
    )


class _Reader:
    """The statements of a file, one after the other, with their lines."""

    def __init__(self, text: str) -> None:
        plain = COMMENT.sub(lambda found: "\n" * found[0].count("\n") or " ", text)
        opened = plain.find("/*")
        if opened >= 0:
            raise FormatError(f"line {plain.count(chr(10), 0, opened) + 1}: comment without an end; add */")
        self.tokens: deque[tuple[str, int]] = deque()
        for line, words in enumerate(plain.split("\n"), start=1):
            self.tokens.extend((word, line) for word in TOKEN.findall(words))
            self.tokens.append(("\n", line))
        self.line = 1

    def fault(self, message: str) -> FormatError:
        return FormatError(f"line {self.line}: {message}")

    def peek(self) -> str:
        return self.tokens[0][0] if self.tokens else ""

    def take(self) -> str:
        if not self.tokens:
            raise self.fault("the file ends in the middle; is it whole?")
        word, self.line = self.tokens.popleft()
        return word

    def skip_lines(self) -> None:
        while self.peek() == "\n":
            self.take()

    def expect(self, word: str) -> None:
        found = self.take()
        if found != word:
            raise self.fault(f"{word!r} must stand here, not {_shown(found)}")

    def whole(self, what: str, least: int = 0, most: int = LARGEST) -> int:
        found = self.take()
        if not found.lstrip("-").isdigit() or len(found) > 20:
            raise self.fault(f"{what} must be a whole number, not {_shown(found)}")
        if not least <= int(found) <= most:
            raise self.fault(f"{what} (={found}) must be {least} to {most}")
        return int(found)

    def ranks(self) -> list[list[Operation]]:
        """The operations of all ranks."""
        self.skip_lines()
        self.expect("num_ranks")
        ranks: list[list[Operation]] = [[] for _ in range(self.whole("num_ranks", 1, MOST_RANKS))]
        seen: dict[int, int] = {}
        while True:
            self.skip_lines()
            if not self.tokens:
                return ranks
            self.expect("rank")
            rank = self.whole("rank", 0, len(ranks) - 1)
            if rank in seen:
                raise self.fault(f"rank {rank} has a block in line {seen[rank]} already")
            seen[rank] = self.line
            self.skip_lines()
            self.expect("{")
            self._block(rank, ranks)

    def _block(self, rank: int, ranks: list[list[Operation]]) -> None:
        labels: dict[str, int] = {}
        while True:
            self.skip_lines()
            if self.peek() == "}":
                self.take()
                return
            word = self.take()
            following = self.peek()
            if following == ":":
                if word in KEYWORDS or not LABEL.match(word):
                    raise self.fault(f"{_shown(word)} cannot be a label")
                if word in labels:
                    raise self.fault(f"label {word!r} of rank {rank} is that of another operation")
                self.take()
                labels[word] = len(ranks[rank])
                word = self.take()
            elif following in ("requires", "irequires"):
                self._wait(rank, ranks[rank], labels, word)
                continue
            ranks[rank].append(self._operation(rank, len(ranks), word))
            self._end()

    def _end(self) -> None:
        if self.peek() not in ("\n", "}", ""):
            raise self.fault(
                f"{_shown(self.peek())} does not belong here; one statement a line, options in order"
            )

    def _wait(self, rank: int, mine: list[Operation], labels: dict[str, int], word: str) -> None:
        kind, other = self.take(), self.take()
        for label in (word, other):
            if label not in labels:
                raise self.fault(
                    f"{_shown(label)} is no label of rank {rank} above; labels stand before their use"
                )
        one, earlier = mine[labels[word]], labels[other]
        if labels[word] == earlier:
            raise self.fault(f"{word} {kind} itself")
        (one.requires if kind == "requires" else one.irequires).append(earlier)
        self._end()

    def _operation(self, rank: int, ranks: int, word: str) -> Operation:
        line = self.line
        if word == "calc":
            found = Operation("calc", self.whole("calc"), line=line)
        elif word in ("send", "recv"):
            size = self.whole("bytes")
            self.expect("b")
            self.expect("to" if word == "send" else "from")
            peer = self.whole("rank", 0 if word == "send" else -1, ranks - 1)
            if peer == rank:
                raise self.fault(f"rank {rank} would {word} to or from itself; name another rank")
            found = Operation(word, size, peer, line=line)
            if self.peek() == "tag":
                self.take()
                found.tag = self.whole("tag", -1)
                if word == "send" and found.tag < 0:
                    raise self.fault("a send must have a tag >= 0; -1 is for receives")
        else:
            raise self.fault(
                f"no operation {_shown(word)}; there are calc, send, recv, and LABEL requires LABEL"
            )
        for option in ("cpu", "nic"):
            if self.peek() == option and not (option == "nic" and word == "calc"):
                self.take()
                number = self.whole(option)
                if option == "cpu":
                    found.cpu = number
        return found


def _shown(word: str) -> str:
    return "the end of the line" if word == "\n" else repr(word[:40])


def text(schedule: Schedule) -> str:
    """A schedule as GOAL text.

    Every transfer is a send and a receive with a tag of its own. GOAL counts whole bytes
    and nanoseconds.

    Raises
    ------
    ScheduleError
        If a transfer's bytes or local work are not whole, or it is an in-network one.
    """
    what = f"{schedule.kind} by {schedule.algorithm}"
    [round_] = unrolled(schedule).rounds()
    fraction = round_.bytes != np.floor(round_.bytes)
    if fraction.any():
        odd = float(round_.bytes[fraction][0])
        cuts = {
            Fraction(float(b) / schedule.size).limit_denominator(MOST_RANKS).denominator for b in round_.bytes
        }
        step = math.lcm(*cuts)
        raise ScheduleError(
            f"{what}: a transfer of {odd:.15g} bytes; GOAL counts whole bytes, so take a size that the parts "
            f"divide, such as {max(1, round(schedule.size / step)) * step}"
        )
    seconds = np.zeros(round_.src.size) if round_.seconds is None else round_.seconds
    work = np.rint(seconds * 1e9)
    if (np.abs(work - seconds * 1e9) > 1e-6).any():
        raise ScheduleError(f"{what}: local work of a fraction of a nanosecond; GOAL counts whole ones")
    label = schedule.algorithm.replace(" ", "_") or "schedule"
    lines = [
        f"// chipweave collective={schedule.kind} algorithm={label} size={schedule.size!r} S=0",
        f"num_ranks {schedule.ranks}",
    ]
    blocks: list[list[str]] = [[] for _ in range(schedule.ranks)]
    src, dst = round_.src.tolist(), round_.dst.tolist()
    none = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    offsets, after = (part.tolist() for part in round_.after or none)
    tags: dict[tuple[int, int], int] = {}
    for i in _in_order(offsets, after):
        a, b = src[i], dst[i]
        if a == b:
            blocks[a].append(f"t{i}: calc {int(work[i])}")
        else:
            tag = tags[a, b] = tags.get((a, b), -1) + 1
            size = int(round_.bytes[i])
            blocks[a].append(f"t{i}: send {size}b to {b} tag {tag}")
            blocks[b].append(f"t{i}: recv {size}b from {a} tag {tag}")
        for rank in sorted({a, b}):
            waits = (j for j in after[offsets[i] : offsets[i + 1]] if rank in (src[j], dst[j]))
            blocks[rank].extend(f"t{i} requires t{j}" for j in waits)
    for rank, block in enumerate(blocks):
        lines += ["", f"rank {rank} {{", *block, "}"]
    return "\n".join([*lines, ""])


def _in_order(offsets: list[int], after: list[int]) -> Iterator[int]:
    """Transfers, each behind those that it waits for."""
    left = [b - a for a, b in pairwise(offsets)]
    follow: list[list[int]] = [[] for _ in left]
    for i in range(len(left)):
        for j in after[offsets[i] : offsets[i + 1]]:
            follow[j].append(i)
    ready = deque(i for i, count in enumerate(left) if not count)
    while ready:
        i = ready.popleft()
        yield i
        for later in follow[i]:
            left[later] -= 1
            if not left[later]:
                ready.append(later)
