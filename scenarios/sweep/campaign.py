"""A sweep from its points to a full store: what is handed out, what came back, what is still to do.

The largest clusters come first, so that the last batches are short ones. What was in
flight when a worker died is run again, a point at a time; points that have seen two
deaths are run with nothing else in flight, so that a point that kills workers is found
out and recorded as failed, and no other is blamed for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from scenarios.store.runs import STATES, Outcome, row
from scenarios.store.store import Store
from scenarios.sweep.batch import Batch, Done, Job, run_batch
from scenarios.sweep.point import Cluster, Point, canonical
from scenarios.sweep.workers import WorkerLostError, Workers

__all__ = ["LARGEST_BATCH", "Campaign", "Tally"]

#: Runs of one batch at most.
LARGEST_BATCH = 64

#: Seconds between two looks at what others have done.
GLANCE = 0.5

#: Deaths of workers that a point has seen, after which it is run with nothing else in
#: flight, and deaths with nothing else in flight, after which it has failed.
SUSPECT, GUILTY = 2, 2


@dataclass
class Tally:
    """How far a sweep is.

    Attributes
    ----------
    total : int
        Points of the sweep.
    before : int
        Of these, in the store before it began.
    states : dict
        Settled points by state, those from before included.
    lost : int
        Deaths of workers.
    """

    total: int
    before: int = 0
    states: dict[str, int] = field(default_factory=dict)
    lost: int = 0

    @property
    def settled(self) -> int:
        """Points that need no more work."""
        return sum(self.states.values())

    def __str__(self) -> str:
        return ", ".join(f"{self.states[s]:,} {s}" for s in STATES if self.states.get(s)) or "none run"

    def count(self, state: str, number: int = 1) -> None:
        """Note settled points."""
        self.states[state] = self.states.get(state, 0) + number


@dataclass(frozen=True)
class _Slice:
    """Some keys of one cluster, to become a batch."""

    cluster: Cluster
    keys: tuple[str, ...]


class Campaign:
    """The points of a sweep on their way into a store.

    Parameters
    ----------
    store : Store
        Open for sweeping.
    points : dict of Point by str
        By their keys.
    descriptions : dict
        Machines as JSON, by digest.
    model : str
    retry : bool
        Whether to run again what is in the store but not done.
    report : callable
        Called with the tally whenever it changes.
    task : callable
        What workers do with a batch.
    """

    def __init__(
        self,
        store: Store,
        points: dict[str, Point],
        descriptions: dict[str, str],
        model: str,
        *,
        retry: bool = False,
        report: Callable[[Tally], None] = lambda tally: None,
        task: Callable[[Batch], Done] = run_batch,
    ) -> None:
        self.store = store
        self.points = points
        self.descriptions = descriptions
        self.model = model
        self.retry = retry
        self.report = report
        self.task = task
        self.tally = Tally(len(points))
        self._seen: dict[str, int] = {}
        self._guilt: dict[str, int] = {}
        self._todo: deque[_Slice] = deque()
        self._suspects: deque[str] = deque()
        self._elsewhere: list[str] = []
        self._flying: dict[Future[Done], _Slice] = {}

    def pending(self) -> int:
        """Look into the store, and queue what is to be run; how many points that are."""
        states = self.store.states(self.model)
        todo = []
        for key in self.points:
            state = states.get(key)
            if state == "done" or (state is not None and not self.retry):
                self.tally.count(state)
            else:
                todo.append(key)
        self.tally.before = self.tally.settled
        self._todo.extend(self._slices(todo))
        return len(todo)

    def run(self, workers: Workers) -> Tally:
        """Run what is queued, and wait for what other processes run.

        Raises
        ------
        OutputError
            If the store cannot be written.
        """
        self.report(self.tally)
        done: list[Outcome] = []
        try:
            while self._todo or self._suspects or self._flying or self._elsewhere or done:
                self._hand_out(workers, done)
                done = self._collect(workers)
        except BaseException:
            for future in self._flying:
                future.cancel()
            raise
        return self.tally

    def _hand_out(self, workers: Workers, done: list[Outcome]) -> None:
        """Write what is done, and claim and submit as much as the workers take."""
        room = workers.slots() - len(self._flying)
        slices = list(self._next(room))
        wanted = [key for one in slices for key in one.keys]
        if not wanted and not done:
            return
        rows = [self._row(outcome) for outcome in done]
        claimed = self.store.exchange(done, rows, wanted, retry=self.retry)
        for outcome in done:
            self.tally.count(outcome.state)
        for state in claimed.settled.values():
            self.tally.count(state)
        self._elsewhere += claimed.elsewhere
        mine = set(claimed.mine)
        for one in slices:
            keys = tuple(key for key in one.keys if key in mine)
            if keys:
                self._submit(workers, _Slice(one.cluster, keys))
        self.report(self.tally)

    def _next(self, room: int) -> Iterator[_Slice]:
        """What to hand out now: queued slices, else what others left, else one suspect."""
        while room > 0 and self._todo:
            yield self._todo.popleft()
            room -= 1
        if self._todo or self._flying:
            return
        if room > 0 and self._suspects:
            key = self._suspects.popleft()
            yield _Slice(self.points[key].cluster, (key,))
        elif room > 0 and self._elsewhere:
            elsewhere, self._elsewhere = self._elsewhere, []
            yield from self._slices(elsewhere)

    def _submit(self, workers: Workers, one: _Slice) -> None:
        c = one.cluster
        jobs = tuple(self._job(key) for key in one.keys)
        machine = self.descriptions[c.digest]
        batch = Batch(machine, c.chips, c.estimate, c.scale_out, c.link, jobs, self.model)
        try:
            self._flying[workers.submit(self.task, batch)] = one
        except WorkerLostError:
            self._bury([one], workers)

    def _collect(self, workers: Workers) -> list[Outcome]:
        """Wait for batches; what they did, while what they left is queued again."""
        if not self._flying:
            if self._elsewhere and not self._todo and not self._suspects:
                time.sleep(GLANCE)
            elif workers.slots() == 0:
                time.sleep(GLANCE)  # a cluster without workers, so far
            return []
        finished, _ = wait(self._flying, timeout=GLANCE, return_when=FIRST_COMPLETED)
        if not finished:
            self.store.check()
            workers.slots()  # notices a scheduler that is gone
            return []
        outcomes: list[Outcome] = []
        dead: list[_Slice] = []
        for future in finished:
            one = self._flying.pop(future)
            error = None if future.cancelled() else future.exception()
            if future.cancelled() or (error is not None and workers.lost(error)):
                dead.append(one)
                continue
            result = future.result()
            outcomes += result.outcomes
            if result.left:
                self._todo.appendleft(_Slice(one.cluster, tuple(job.key for job in result.left)))
        if dead:
            self._bury(dead, workers)
        return outcomes

    def _bury(self, dead: list[_Slice], workers: Workers) -> None:
        """Queue again what was in flight when a worker died."""
        self.tally.lost += 1
        if workers.revive():
            for future, one in list(self._flying.items()):
                if future.cancelled() or not future.done() or future.exception() is not None:
                    dead.append(one)
                    del self._flying[future]
        keys = [key for one in dead for key in one.keys]
        for key in keys:
            self._seen[key] = self._seen.get(key, 0) + 1
            if len(keys) == 1 and not self._flying:
                self._guilt[key] = self._guilt.get(key, 0) + 1
            if self._guilt.get(key, 0) >= GUILTY:
                self._give_up(key)
            elif self._seen[key] >= SUSPECT:
                self._suspects.append(key)
            else:
                self._todo.appendleft(_Slice(self.points[key].cluster, (key,)))

    def _give_up(self, key: str) -> None:
        """Record a point that kills its workers as failed."""
        error = f"its worker died {self._seen[key]} times; is there memory enough for this point?"
        outcome = Outcome(key, "failed", f"WorkerLostError: {error}", (), 0.0, "")
        self.store.exchange([outcome], [self._row(outcome)], [])
        self.tally.count("failed")
        self.report(self.tally)

    def _slices(self, keys: Iterable[str]) -> Iterator[_Slice]:
        """Keys by cluster, the largest first, cut to the size of a batch."""
        groups: dict[Cluster, list[str]] = {}
        for key in keys:
            groups.setdefault(self.points[key].cluster, []).append(key)
        for cluster, members in sorted(groups.items(), key=lambda item: -item[0].chips):
            for first in range(0, len(members), LARGEST_BATCH):
                yield _Slice(cluster, tuple(members[first : first + LARGEST_BATCH]))

    def _job(self, key: str) -> Job:
        point = self.points[key]
        return Job(key, point.collective, point.size, dict(point.arguments))

    def _row(self, outcome: Outcome) -> Sequence[Any]:
        point = self.points[outcome.key]
        inputs = point.inputs()
        return row(outcome, self.model, point.cluster.digest, inputs, canonical(inputs))
