"""Training: from arrays to a trained model. The calls are methods of `rnncore.Sequential` too."""

from rnncore.training.averaging import RunningMean
from rnncore.training.batches import Batch
from rnncore.training.evaluation import evaluate
from rnncore.training.fitting import fit
from rnncore.training.history import History
from rnncore.training.progress import Progress
from rnncore.training.rates import Rates, find_lr
from rnncore.training.step import loss_and_grad
from rnncore.training.stopping import EarlyStopping
from rnncore.training.windows import Windows

__all__ = [
    "Batch",
    "EarlyStopping",
    "History",
    "Progress",
    "Rates",
    "RunningMean",
    "Windows",
    "evaluate",
    "find_lr",
    "fit",
    "loss_and_grad",
]
