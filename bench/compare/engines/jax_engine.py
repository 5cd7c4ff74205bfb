"""A jitted lax.scan with the product of the inputs before it, waited for; rows that have ended keep their state."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cases import Case

from engines import Prepared

jax.config.update("jax_enable_x64", True)


def cell_step(cell: str, state: Any, a: Any, b: Any) -> Any:
    """From the state, a = W x + b_ih and b = R h + b_hh to the new state."""
    h, c = state
    if cell == "rnn":
        return jnp.tanh(a + b), c
    if cell == "gru":
        (ar, az, an), (br, bz, bn) = jnp.split(a, 3, axis=-1), jnp.split(b, 3, axis=-1)
        z = jax.nn.sigmoid(az + bz)
        n = jnp.tanh(an + jax.nn.sigmoid(ar + br) * bn)
        return n + z * (h - n), c
    i, f, g, o = jnp.split(a + b, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def prepare(case: Case, threads: int) -> Prepared:  # noqa: ARG001  the cores that the process may use set JAX's threads
    data = {name: jnp.asarray(array.T if name.startswith("weight") else array) for name, array in case.draw().items()}
    x, dy = data.pop("x"), data.pop("dy")
    valid = jnp.asarray(np.arange(case.T)[:, None] < case.lengths())[..., None]
    zero = jnp.zeros((case.N, case.H), case.dtype)

    def forward(parameters: Any, x: Any, state: Any) -> Any:
        def body(state: Any, now: Any) -> Any:
            a, valid = now
            new = cell_step(case.cell, state, a, state[0] @ parameters["weight_hh"] + parameters["bias_hh"])
            if not case.ragged:
                return new, new[0]
            kept = tuple(jnp.where(valid, n, s) for n, s in zip(new, state, strict=True))
            return kept, jnp.where(valid, new[0], 0)

        return jax.lax.scan(body, state, (x @ parameters["weight_ih"] + parameters["bias_ih"], valid))

    def train(parameters: Any, x: Any) -> Any:
        y, pull = jax.vjp(lambda parameters, x: forward(parameters, x, (zero, zero))[1], parameters, x)
        return y, pull(dy)

    infer, train = jax.jit(forward), jax.jit(train)

    def run_train(calls: int) -> None:
        for _ in range(calls):
            jax.block_until_ready(train(data, x))

    def run_infer(calls: int) -> None:
        for _ in range(calls):
            jax.block_until_ready(infer(data, x, (zero, zero)))

    def run_steps(calls: int) -> None:
        state = (zero, zero)
        for _ in range(calls):
            state, y = infer(data, x, state)
            jax.block_until_ready(y)

    def output() -> np.ndarray:
        return np.asarray(train(data, x)[1][1] if case.mode == "train" else infer(data, x, (zero, zero))[1])

    return Prepared({"train": run_train, "infer": run_infer, "step": run_steps}[case.mode], output)
