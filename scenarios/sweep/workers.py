"""Where batches are run: in this process, in others of this machine, or on a Dask cluster.

All three are the executors of `concurrent.futures`: loky, the engine of joblib, for
one machine, and Dask's own for a cluster.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from typing import Any, Protocol

from topologies.errors import MissingPackageError, SimulationError

__all__ = ["Cluster", "Here", "Processes", "WorkerLostError", "Workers"]

#: Seconds to wait for a scheduler to answer.
ANSWER = 10.0

#: Batches handed out for each worker: one that runs, one that it finds when it is done.
AHEAD = 2


class WorkerLostError(Exception):
    """Workers have died, and the batches in flight with them."""


class Workers(Protocol):
    """What a sweep needs of those who work for it."""

    def slots(self) -> int:
        """How many batches are worth handing out at once."""

    def submit(self, function: Callable[[Any], Any], batch: Any) -> Future[Any]:
        """Hand out a batch."""

    def lost(self, error: BaseException) -> bool:
        """Whether an error of a batch means that its worker died."""

    def revive(self) -> bool:
        """Replace workers that died; whether all that was in flight is lost with them."""

    def close(self) -> None:
        """Let go of the workers, and of batches that have not begun."""


class Here:
    """This process alone."""

    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, function: Callable[[Any], Any], batch: Any) -> Future[Any]:
        """Run a batch now."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(batch))
        except Exception as error:
            future.set_exception(error)
        return future

    def lost(self, error: BaseException) -> bool:
        """Never: who dies here does not ask."""
        return False

    def revive(self) -> bool:
        """Nobody to replace."""
        return False

    def close(self) -> None:
        """Nothing to let go of."""


class Processes:
    """Processes of this machine, by loky.

    Parameters
    ----------
    count : int
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._executor = self._start()

    def slots(self) -> int:
        """Two batches a process."""
        return AHEAD * self.count

    def submit(self, function: Callable[[Any], Any], batch: Any) -> Future[Any]:
        """Hand out a batch."""
        try:
            future: Future[Any] = self._executor.submit(function, batch)
        except BrokenExecutor as error:
            raise WorkerLostError from error
        return future

    def lost(self, error: BaseException) -> bool:
        """Whether a process was killed, or the pool let go after that."""
        return isinstance(error, BrokenExecutor | CancelledError)

    def revive(self) -> bool:
        """Start new processes: a pool does not outlive one of its own."""
        self.close()
        self._executor = self._start()
        return True

    def close(self) -> None:
        """End the processes; what they run is lost."""
        self._executor.shutdown(wait=True, kill_workers=True)

    def _start(self) -> Any:
        from loky import ProcessPoolExecutor

        # A worker that holds a large fabric is taken for one that leaks, and replaced.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        return ProcessPoolExecutor(self.count, initializer=_attach, initargs=(os.getpid(),))


class Cluster:
    """The workers of a Dask scheduler.

    Parameters
    ----------
    address : str
        Such as ``"tcp://10.0.0.1:8786"``.

    Raises
    ------
    MissingPackageError
        If there is no Dask.
    SimulationError
        If no scheduler answers.
    """

    #: Seconds for which a number of workers is believed.
    FRESH = 2.0

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise MissingPackageError(
                "--scheduler needs the package distributed; pip install 'chipweave[cluster]'"
            ) from error
        self.address = address
        client: Any = distributed.Client  # half of it is typed
        # It prints tracebacks of its own when a scheduler goes; here that is one line.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        try:
            self._client = client(address, timeout=ANSWER, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise SimulationError(
                f"no Dask scheduler answers at '{address}' ({error}); start one with 'dask scheduler'"
            ) from error
        self._executor = self._client.get_executor(pure=False)
        self._slots = 0
        self._asked = -self.FRESH

    def slots(self) -> int:
        """Two batches a worker, as many as there are now; none while there is none.

        Raises
        ------
        SimulationError
            If the scheduler is gone.
        """
        if time.monotonic() - self._asked >= self.FRESH:
            try:
                threads = self._client.nthreads() if self._client.status == "running" else None
            except (OSError, ValueError, TimeoutError):
                threads = None
            if threads is None:
                raise SimulationError(
                    f"the Dask scheduler at '{self.address}' is gone; what has been run stands: "
                    "start it and run the same command again"
                )
            self._slots = AHEAD * sum(threads.values())
            self._asked = time.monotonic()
        return self._slots

    def submit(self, function: Callable[[Any], Any], batch: Any) -> Future[Any]:
        """Hand out a batch; Dask runs it again if its worker dies."""
        future: Future[Any] = self._executor.submit(function, batch)
        return future

    def lost(self, error: BaseException) -> bool:
        """Whether so many workers died under a batch that Dask gave it up."""
        from distributed import KilledWorker

        return isinstance(error, KilledWorker | CancelledError)

    def revive(self) -> bool:
        """Nothing to do: workers come back by themselves, or through their nanny."""
        return False

    def close(self) -> None:
        """Take back what has not begun, and leave the cluster running."""
        self._client.close(timeout=ANSWER)


def _attach(parent: int) -> None:
    """Make a worker end with its parent, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
