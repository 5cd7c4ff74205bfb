"""The contrast: the same tasks solved by a recurrent net, a feed-forward net on a window, and a convolutional net.

The recurrent net is this package's; the feed-forward net is scikit-learn's, the convolutional one is made with PyTorch
(`pip install 'rnncore[contrast]'`). `rnncore contrast` makes the tables and the figure of docs/contrast.md.
"""

from rnncore.contrast.measure import Result, measure
from rnncore.contrast.tasks import Task, tasks

__all__ = ["Result", "Task", "measure", "tasks"]
