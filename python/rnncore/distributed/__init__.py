"""Beyond one process: training over MPI, and fleets of series over joblib, Dask and Fugue."""

from rnncore.distributed.mpi import MPICollective
from rnncore.training.collective import Alone, Collective
from rnncore.training.ranks import RankError

__all__ = ["Alone", "Collective", "MPICollective", "RankError"]
