"""Beyond one process: training over MPI, and many series over joblib, Dask and Fugue."""

from rnncore.distributed.mapping import map_partitions
from rnncore.distributed.mpi import MPICollective
from rnncore.distributed.partitions import detect_partition, fit_partition, predict_partition
from rnncore.training.collective import Alone, Collective
from rnncore.training.ranks import RankError

__all__ = [
    "Alone",
    "Collective",
    "MPICollective",
    "RankError",
    "detect_partition",
    "fit_partition",
    "map_partitions",
    "predict_partition",
]
