"""NumPy twin of src/rnncore/tree.cpp and kernels/tree.hpp: recursive networks, a node at a time.

Sizes: N nodes, I inputs, H hidden units. Children are lists of node numbers; in a binary tree a child is (node, side).
Everything runs on complex numbers too, so that the complex step can judge the gradients.
"""

from dataclasses import dataclass

import numpy as np

from rnncore.reference.activations import Array, sigmoid, tanh


@dataclass(frozen=True)
class Nodes:
    """Trees: the children of each node with their side (0 where sides do not count), and an order, children first."""

    children: list[list[tuple[int, int]]]
    order: list[int]


def by_parent(parent: Array) -> Nodes:
    """Nodes of parent (N,), -1 for a root.

    >>> by_parent(np.array([2, 2, -1])).children
    [[], [], [(0, 0), (1, 0)]]
    """
    children: list[list[tuple[int, int]]] = [[] for _ in parent]
    for node, above in enumerate(parent):
        if above >= 0:
            children[above].append((node, 0))
    return Nodes(children, _children_first(children))


def by_children(children: Array) -> Nodes:
    """Nodes of children (N, 2), left and right, -1 for none.

    >>> by_children(np.array([[-1, -1], [-1, 0]])).children
    [[], [(0, 1)]]
    """
    listed = [[(int(k), side) for side, k in enumerate(pair) if k >= 0] for pair in children]
    return Nodes(listed, _children_first(listed))


def _children_first(children: list[list[tuple[int, int]]]) -> list[int]:
    order: list[int] = []
    below = {node for kids in children for node, _ in kids}
    waiting = [node for node in range(len(children)) if node not in below]
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting += [k for k, _ in children[node]]
    return order[::-1]


def _operand(h: Array, kids: list[tuple[int, int]], binary: bool) -> Array:
    """Return what the recurrent product of a node reads: the sum of the h (H,), or two side by side (2H,)."""
    size = h.shape[1]
    s = np.zeros(2 * size if binary else size, h.dtype)
    for k, side in kids:
        s[side * size : (side + 1) * size] += h[k]
    return s


def rnn_forward(x: Array, nodes: Nodes, binary: bool, w: Array, u: Array, b: Array) -> Array:
    """Return h (N, H) of x (N, I), W (H, I), U (H, H or 2H), b (H,): h = tanh(W x + b + U s)."""
    h = np.zeros((len(x), len(w)), np.result_type(x, w, u, b))
    for n in nodes.order:
        h[n] = tanh(w @ x[n] + b + u @ _operand(h, nodes.children[n], binary))
    return h


def rnn_backward(
    x: Array, nodes: Nodes, binary: bool, w: Array, u: Array, h: Array, dh: Array
) -> tuple[Array, Array, Array, Array]:
    """Return the gradients by x, W, U and b, of dh (N, H)."""
    size, d_h = h.shape[1], dh.copy()
    dx, dw, du, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(u), np.zeros(len(w), w.dtype)
    for n in reversed(nodes.order):
        kids = nodes.children[n]
        d_a = d_h[n] * (1 - h[n] * h[n])
        dx[n] = d_a @ w
        dw += np.outer(d_a, x[n])
        du += np.outer(d_a, _operand(h, kids, binary))
        db += d_a
        ds = d_a @ u
        for k, side in kids:
            d_h[k] += ds[side * size : (side + 1) * size]
    return dx, dw, du, db


def lstm_forward(x: Array, nodes: Nodes, binary: bool, w: Array, u: Array, b: Array) -> tuple[Array, Array]:
    """Return h, c (N, H) of x (N, I), W (4H, I), b (4H,) as i f g o, U (4H, H) likewise or (5H, 2H) as i fl fr g o."""
    size = len(w) // 4
    h = np.zeros((len(x), size), np.result_type(x, w, u, b))
    c = np.zeros_like(h)
    for n in nodes.order:
        i, g, o, forget, _ = _lstm_gates(x[n], h, nodes.children[n], binary, w, u, b)
        c[n] = i * g
        for (k, _side), f in zip(nodes.children[n], forget, strict=True):
            c[n] += f * c[k]
        h[n] = o * tanh(c[n])
    return h, c


def _lstm_gates(
    x: Array, h: Array, kids: list[tuple[int, int]], binary: bool, w: Array, u: Array, b: Array
) -> tuple[Array, Array, Array, list[Array], Array]:
    """Return i, g, o, the forget gates of the children, and what the recurrent product read."""
    x_i, x_f, x_g, x_o = np.split(w @ x + b, 4)
    s = _operand(h, kids, binary)
    if binary:
        h_i, h_left, h_right, h_g, h_o = np.split(u @ s, 5)
        forget = [sigmoid(x_f + (h_left, h_right)[side]) for _, side in kids]
    else:
        h_i, _, h_g, h_o = np.split(u @ s, 4)
        u_f = np.split(u, 4)[1]
        forget = [sigmoid(x_f + u_f @ h[k]) for k, _ in kids]
    return sigmoid(x_i + h_i), tanh(x_g + h_g), sigmoid(x_o + h_o), forget, s


def lstm_backward(
    x: Array, nodes: Nodes, binary: bool, w: Array, u: Array, b: Array, h: Array, c: Array, dh: Array, dc: Array
) -> tuple[Array, Array, Array, Array]:
    """Return the gradients by x, W, U and b, of dh and dc (N, H)."""
    size, d_h, d_c = h.shape[1], dh.copy(), dc.copy()
    dx, dw, du, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(u), np.zeros_like(b)
    f_rows = slice(size, 2 * size)  # of U, where each child has a product of its own
    for n in reversed(nodes.order):
        kids = nodes.children[n]
        i, g, o, forget, s = _lstm_gates(x[n], h, kids, binary, w, u, b)
        tanh_c = tanh(c[n])
        d_c[n] += d_h[n] * o * (1 - tanh_c * tanh_c)
        d_i, d_g = d_c[n] * g * i * (1 - i), d_c[n] * i * (1 - g * g)
        d_o = d_h[n] * tanh_c * o * (1 - o)
        d_sides = np.zeros((2, size), h.dtype)
        d_f = np.zeros(size, h.dtype)
        for (k, side), f in zip(kids, forget, strict=True):
            d_f_k = d_c[n] * c[k] * f * (1 - f)
            d_f += d_f_k
            d_sides[side] += d_f_k
            d_c[k] += d_c[n] * f
            if not binary:
                du[f_rows] += np.outer(d_f_k, h[k])
                d_h[k] += d_f_k @ u[f_rows]
        d_x = np.concatenate((d_i, d_f, d_g, d_o))
        middle = d_sides.reshape(-1) if binary else np.zeros(size, h.dtype)
        d_s = np.concatenate((d_i, middle, d_g, d_o))
        dx[n] = d_x @ w
        dw += np.outer(d_x, x[n])
        db += d_x
        du += np.outer(d_s, s)
        ds = d_s @ u
        for k, side in kids:
            d_h[k] += ds[side * size : (side + 1) * size]
    return dx, dw, du, db
