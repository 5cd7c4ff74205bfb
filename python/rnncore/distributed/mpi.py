"""MPI: processes of one machine or of a cluster, over mpi4py."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rnncore.arguments import Array

__all__ = ["MPICollective"]


class MPICollective:
    """The processes of an MPI communicator, for ``model.fit(..., collective=MPICollective())``.

    Parameters
    ----------
    comm
        An mpi4py communicator; by default all processes that mpiexec has started. It is duplicated, so that nothing
        else that the program sends can be mistaken.

    Needs mpi4py and an MPI library: ``pip install mpi4py mpich`` brings both. Start it as
    ``mpiexec -n 4 python -m mpi4py train.py``: with ``-m mpi4py`` an error outside of `fit` ends all processes too.

    >>> from rnncore.distributed import MPICollective
    >>> with MPICollective() as collective:
    ...     print(collective.rank, collective.size)
    0 1
    """

    def __init__(self, comm: Any = None) -> None:
        try:
            from mpi4py import MPI
        except ImportError as error:
            raise ImportError(f"MPI needs mpi4py and an MPI library ({error}): pip install mpi4py mpich") from None
        except RuntimeError as error:  # mpi4py is there, no library is
            raise ImportError(f"mpi4py finds no MPI library ({error}): pip install mpi4py mpich") from None
        if comm is not None and not isinstance(comm, MPI.Intracomm):
            raise TypeError(f"comm should be an mpi4py communicator, got {type(comm).__name__}")
        self._comm: Any = (MPI.COMM_WORLD if comm is None else comm).Dup()
        self._in_place = MPI.IN_PLACE
        self.rank, self.size = int(self._comm.rank), int(self._comm.size)

    def allreduce_sum(self, array: Array) -> None:
        """Replace a contiguous array by the sum over the ranks."""
        self._comm.Allreduce(self._in_place, array)

    def broadcast(self, array: Array, root: int = 0) -> None:
        """Replace a contiguous array by that of the rank `root`."""
        self._comm.Bcast(array, root)

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        self._comm.Barrier()

    def close(self) -> None:
        """Give the communicator back; on all ranks."""
        self._comm.Free()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:  # to give it back, all ranks would have to be here
            self.close()
