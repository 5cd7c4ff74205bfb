"""An amplifier's model: a diode clipper is solved as an equation, an LSTM learns it sample by sample, and C++ plays it.

    python examples/amplifier.py              # writes clipper.nam and clipper.safetensors, prints the errors
    python examples/amplifier.py --hidden 8

The pair of recordings is generated: plucked notes, and what a diode clipper makes of them (Yeh, Abel & Smith 2007)::

    dv/dt = (u - v) / (R C) - 2 I_s / C sinh(v / V_t)

The LSTM is trained by truncated backpropagation through time with the error-to-signal ratio as its loss (Wright,
Damskägg & Välimäki 2019). The player is examples/cpp/audio_effect.cpp, compiled against the installed library.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np

import rnncore
from rnncore import nam

RATE = 48_000  # Hz
R, C, SATURATION, THERMAL = 2.2e3, 47e-9, 2.52e-9, 45.3e-3  # ohm, farad, ampere, volt
DRIVE = 4.5  # volts at full scale
BURN_IN = 1000  # samples, at the beginning of every recording, without a loss
EFFECT = Path(__file__).parent / "cpp" / "audio_effect.cpp"


def notes(random: np.random.Generator, samples: int, rows: int) -> np.ndarray:
    """Return plucked strings, (samples, rows, 1) within -1..1: four notes a second, any of them soft or loud."""
    time = np.arange(samples)[:, None] / RATE
    out = np.zeros((samples, rows))
    for onset in np.arange(0, samples / RATE, 0.25):
        begin = onset + random.uniform(0, 0.1, rows)
        pitch = 82.4 * 2 ** (random.integers(0, 37, rows) / 12)  # E2 to E5
        level, since = 10 ** random.uniform(-1.5, 0, rows), np.maximum(time - begin, 0)
        for k in range(1, 9):
            decay = np.exp(-since * (2 + k)) * (time >= begin)
            out += level / k * decay * np.sin(2 * np.pi * k * pitch * since + random.uniform(0, 6.3, rows))
    return (out / max(1.0, np.abs(out).max()))[:, :, None]


def clipper(x: np.ndarray, oversampling: int = 4) -> np.ndarray:
    """Solve the equation by the trapezoidal rule and Newton's method, from rest; x and the voltage are (T, N, 1)."""
    step = 1 / (RATE * oversampling)
    u, v, out = DRIVE * x[:, :, 0], np.zeros(x.shape[1]), np.empty(x.shape[:2])

    def slope(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return (u - v) / (R * C) - 2 * SATURATION / C * np.sinh(v / THERMAL)

    before, at_last = u[0], slope(u[0], v)
    for t, after in enumerate(u):
        for k in range(1, oversampling + 1):
            now = before + (after - before) * (k / oversampling)
            fixed, guess = v + step / 2 * at_last, v
            for _ in range(50):
                error = guess - fixed - step / 2 * slope(now, guess)
                rise = 1 + step / 2 * (1 / (R * C) + 2 * SATURATION / (C * THERMAL) * np.cosh(guess / THERMAL))
                change = np.clip(error / rise, -THERMAL, THERMAL)  # sinh grows fast: no step beyond its scale
                guess = guess - change
                if np.abs(change).max() < 1e-9:
                    break
            v, at_last = guess, slope(now, guess)
        out[t], before = v, after
    return out[:, :, None]


def recordings(seed: int, seconds: float, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return notes and what the clipper makes of them."""
    x = notes(np.random.default_rng(seed), int(seconds * RATE), rows)
    return x.astype("float32"), clipper(x).astype("float32")


def error(y: np.ndarray, target: np.ndarray) -> float:
    """Return the error-to-signal ratio of whole recordings behind the burn-in."""
    return nam.error_to_signal(y[BURN_IN:], target[BURN_IN:])[0]


def curve(x: np.ndarray, y: np.ndarray, other: np.ndarray, levels: int = 1000) -> np.ndarray:
    """Return what the best curve without memory makes of other samples: the mean of y at each level of x."""
    edges = np.linspace(-1, 1, levels + 1)
    place, taken = (np.clip(np.digitize(each.ravel(), edges) - 1, 0, levels - 1) for each in (x, other))
    count, total = np.bincount(place, minlength=levels), np.bincount(place, y.ravel(), levels)
    known = np.flatnonzero(count)
    means = np.interp(np.arange(levels), known, total[known] / count[known])
    return means[taken].reshape(other.shape)


def scaled(x: np.ndarray, y: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return what the best amplifier without distortion makes of other samples."""
    return other * float((x * y).sum() / (x * x).sum())


def train(arguments: argparse.Namespace, learned: tuple[np.ndarray, np.ndarray]) -> rnncore.Sequential:
    """Learn the clipper; the weights are those with the least error on notes that training does not see."""
    layer = rnncore.LSTM(1, arguments.hidden, seed=arguments.seed)
    rnncore.initialisation.forget_bias(layer, 1.0)
    model = rnncore.Sequential(layer, rnncore.Linear(arguments.hidden, 1, seed=arguments.seed))
    history = model.fit(
        learned,
        k1=arguments.window,
        burn_in=BURN_IN,
        epochs=arguments.epochs,
        loss=partial(nam.error_to_signal, floor=1e-5),
        lr=5e-3,
        schedule=rnncore.schedules.Cosine(arguments.epochs, minimum=0.01),
        clip_norm=1.0,
        validation=recordings(arguments.seed + 1, arguments.seconds, 4),
        early_stopping=arguments.epochs,
        num_threads=arguments.threads,
        progress=arguments.progress,
    )
    print(f"trained for {len(history)} epochs, best {1 + (history.best_epoch or 0)}")
    return model


def play(folder: Path, x: np.ndarray) -> tuple[np.ndarray, float]:
    """Play one recording by the C++ program; return what comes out, and its seconds of computing."""
    compiler, library = shutil.which("c++") or "c++", Path(rnncore.get_library())
    link = [f"-I{rnncore.get_include()}", str(library), f"-Wl,-rpath,{library.parent}"]
    program = folder / "audio_effect"
    subprocess.run([compiler, "-std=c++17", "-O2", EFFECT, *link, "-o", program], check=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    run = subprocess.run(
        [program, folder / "clipper.safetensors"], input=x.tobytes(), stdout=subprocess.PIPE, check=True
    )
    return np.frombuffer(run.stdout, "float32"), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each of the 32 recordings")
    parser.add_argument("--window", type=int, default=512, help="samples between updates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--progress", action="store_true")
    arguments = parser.parse_args()

    learned = recordings(arguments.seed, arguments.seconds, 32)
    model = train(arguments, learned)
    nam.save(
        model, arguments.folder / "clipper.nam", sample_rate=RATE, silence=RATE, metadata={"name": "Diode clipper"}
    )
    played = nam.load(arguments.folder / "clipper.nam")
    played.save(arguments.folder / "clipper.safetensors")

    x, target = recordings(arguments.seed + 2, arguments.seconds, 8)  # looked at here alone
    print(f"error-to-signal ratio: {error(played(x)[0], target):.6f}")
    print(f"best curve without memory: {error(curve(*learned, x), target):.6f}")
    print(f"best amplifier without distortion: {error(scaled(*learned, x), target):.6f}")

    one = np.ascontiguousarray(x[:, 0, 0])
    out, seconds = play(arguments.folder, one)
    same = np.array_equal(out, rnncore.Stream(played).run(one[:, None])[:, 0])
    print(f"C++: {len(out)} samples, {'the bits of' if same else 'other bits than'} Python's stream")
    print(f"C++: {seconds / (len(one) / RATE):.4f} seconds of computing for a second of sound")


if __name__ == "__main__":
    main()
