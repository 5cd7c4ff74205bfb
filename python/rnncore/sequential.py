"""Layers one behind the other, with training, evaluation and files: the model that users make."""

from __future__ import annotations

import os

from rnncore import training
from rnncore.models import file
from rnncore.models.model import Model

__all__ = ["Sequential", "load"]


class Sequential(Model):
    r"""Layers one behind the other: Embedding, RNN, LSTM, GRU, Linear, LayerNorm, Dropout, LastStep.

    The parameters of all layers, and their gradients, are one flat vector; those of the layers become views on it. The
    model is called as a recurrent layer is, and keeps its promises: lengths, resets, the carried state, and bits that
    depend neither on the batch nor on the number of threads.

    Parameters
    ----------
    layers
        The layers, or one mapping of names to layers. Names are "0", "1", ... by default, and parameters are called as
        PyTorch's nn.Sequential calls them: "0.weight_ih_l0".

    Attributes
    ----------
    layers
        The layers, a tuple; `model[k]` and `model[name]` give one.
    batch_first, dtype
        Those of the layers.

    The state is that of the recurrent layer; if there are several, a tuple with one state for each.

    Raises ValueError for layers whose sizes, dtypes or batch_first do not fit together, which the message names, and
    TypeError for anything that is no layer.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.LSTM(3, 16, seed=0), rnncore.Linear(16, 2, seed=0))
    >>> y, (h, c) = model(np.ones((10, 4, 3)), lengths=[10, 3, 0, 7])
    >>> y.shape, h.shape, list(model.named_parameters())[:2]
    ((10, 4, 2), (1, 4, 16), ['0.weight_ih_l0', '0.weight_hh_l0'])
    >>> history = model.fit((np.ones((10, 4, 3)), np.zeros((10, 4, 2))), epochs=3, progress=False)
    >>> len(history.loss)
    3
    """

    loss_and_grad = training.loss_and_grad
    fit = training.fit
    evaluate = training.evaluate
    find_lr = training.find_lr

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one safetensors file, which `rnncore.load` reads.

        Parameters stand in it under PyTorch's names, the architecture and a digest over everything in its metadata. The
        file is replaced in one go: whoever reads it finds the old model or the new one. Needs the package safetensors
        (`pip install rnncore[io]`).
        """
        file.save(self, path)


def load(path: str | os.PathLike[str]) -> Sequential:
    """Read a model that `Sequential.save` has written, or the model of a checkpoint of `fit`.

    Raises FileNotFoundError, and ValueError: `rnncore.files.DamagedFileError` for a file that was changed in any bit,
    `rnncore.files.FormatError` for one that holds something else or is of a newer version, which it names. Nothing in
    the file is executed. Needs the package safetensors (`pip install rnncore[io]`).

    >>> import numpy as np, rnncore
    >>> model = rnncore.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.Linear(8, 2, seed=0))
    >>> model.save("model.safetensors")
    >>> twin = rnncore.load("model.safetensors")
    >>> bool((twin(np.ones((5, 4, 3)))[0] == model(np.ones((5, 4, 3)))[0]).all())
    True
    """
    return file.read_model(path, Sequential)[0]
