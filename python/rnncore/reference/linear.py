"""NumPy twin of src/rnncore/kernels/linear.hpp: a linear map of rows, and its gradients."""

from rnncore.reference.activations import Array


def forward(x: Array, weight: Array, bias: Array | None) -> Array:
    """Return y (R, O) = x W^T + b, of x (R, I), W (O, I), b (O,) or None.

    >>> import numpy as np
    >>> forward(np.ones((1, 3)), np.eye(2, 3), np.array([10.0, 20.0])).tolist()
    [[11.0, 21.0]]
    """
    y: Array = x @ weight.T
    return y if bias is None else y + bias


def backward(x: Array, weight: Array, dy: Array) -> tuple[Array, Array, Array]:
    """Return the gradients by x (R, I), W (O, I) and b (O,), of dy (R, O).

    >>> import numpy as np
    >>> dx, d_weight, d_bias = backward(np.ones((1, 3)), np.eye(2, 3), np.array([[1.0, 2.0]]))
    >>> dx.tolist(), d_weight.tolist(), d_bias.tolist()
    ([[1.0, 2.0, 0.0]], [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]], [1.0, 2.0])
    """
    return dy @ weight, dy.T @ x, dy.sum(axis=0)
