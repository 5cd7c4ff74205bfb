"""NumPy twin of src/rnncore/attention.cpp: dot-product attention (Luong, Pham and Manning, 2015), a row at a time.

Sizes: T queries, S keys, N rows, E features. It runs on complex numbers too: the softmax takes no absolute value.
"""

import numpy as np

from rnncore.reference.activations import Array


def forward(query: Array, keys: Array, lengths: Array) -> tuple[Array, Array]:
    """Return the context (T, N, E) and the weights (N, T, S) of query (T, N, E), keys (S, N, E), lengths (N,).

    >>> context, weights = forward(np.zeros((1, 1, 2)), np.array([[[1.0, 0.0]], [[3.0, 2.0]]]), np.array([2]))
    >>> context.tolist(), weights.tolist()
    ([[[2.0, 1.0]]], [[[0.5, 0.5]]])
    """
    (steps, rows, _), places = query.shape, len(keys)
    weights = np.zeros((rows, steps, places), np.result_type(query, keys))
    context = np.zeros(query.shape, weights.dtype)
    for n, length in enumerate(lengths):
        if length > 0:
            products = query[:, n] @ keys[:length, n].T
            powers = np.exp(products - products.real.max(axis=1, keepdims=True))
            weights[n, :, :length] = powers / powers.sum(axis=1, keepdims=True)
            context[:, n] = weights[n, :, :length] @ keys[:length, n]
    return context, weights


def backward(query: Array, keys: Array, lengths: Array, weights: Array, d_context: Array) -> tuple[Array, Array]:
    """Return the gradients by query and keys, of d_context (T, N, E)."""
    d_query, d_keys = np.zeros_like(query), np.zeros_like(keys)
    for n, length in enumerate(lengths):
        w, k = weights[n, :, :length], keys[:length, n]
        d_w = d_context[:, n] @ k.T
        d_products = w * (d_w - (w * d_w).sum(axis=1, keepdims=True))
        d_query[:, n] = d_products @ k
        d_keys[:length, n] = d_products.T @ query[:, n] + w.T @ d_context[:, n]
    return d_query, d_keys
