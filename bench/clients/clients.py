"""Small trainings with other libraries, each a function that returns its losses in order."""

from __future__ import annotations

import numpy as np
import torch

import rnncore

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  libraries draw from it


def wave(rows: int) -> np.ndarray:
    t = np.arange(rows)
    noise = np.random.default_rng(0).normal(scale=0.1, size=rows)
    return (10 + np.sin(t / 4) + 0.3 * np.sin(t / 29) + noise).astype(np.float32)


def _recurrent_ppo(policy: object = "MlpLstmPolicy") -> list[float]:
    import gymnasium
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    seeded()
    envs = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")] * 4)
    model = RecurrentPPO(policy, envs, n_steps=64, batch_size=128, n_epochs=2, seed=0, device="cpu")
    losses: list[float] = []

    def kept(*_: object) -> bool:
        losses.append(float(model.logger.name_to_value.get("train/loss", np.nan)))
        return True

    for _ in range(4):
        model.learn(256, reset_num_timesteps=False)
        kept()
    return losses


def recurrent_ppo() -> list[float]:
    """sb3-contrib's recurrent PPO on CartPole."""
    return _recurrent_ppo()


def recurrent_ppo_resets() -> list[float]:
    """The same with `resets` in the place of its loop over steps, where the module takes them."""
    from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy

    class Policy(RecurrentActorCriticPolicy):
        @staticmethod
        def _process_sequence(features, lstm_states, episode_starts, lstm):
            if not isinstance(lstm, rnncore.torch.LSTM):
                return RecurrentActorCriticPolicy._process_sequence(features, lstm_states, episode_starts, lstm)
            rows = lstm_states[0].shape[1]
            x = features.reshape(rows, -1, lstm.input_size).swapaxes(0, 1)
            y, states = lstm(x, lstm_states, resets=episode_starts.reshape(rows, -1).swapaxes(0, 1))
            return torch.flatten(y.transpose(0, 1), end_dim=1), states

    return _recurrent_ppo(Policy)


def darts_rnn() -> list[float]:
    """RNNModel of darts, an LSTM of 64 units."""
    import pandas as pd
    from darts import TimeSeries
    from darts.models import RNNModel
    from pytorch_lightning.callbacks import Callback

    losses: list[float] = []

    class Keep(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, number):  # noqa: ARG002
            losses.append(float(outputs["loss"]))

    seeded()
    series = TimeSeries.from_times_and_values(pd.date_range("2024-01-01", periods=600, freq="h"), wave(600))
    model = RNNModel(
        input_chunk_length=48, model="LSTM", hidden_dim=64, training_length=72, n_epochs=3, batch_size=32,
        random_state=0, pl_trainer_kwargs=QUIET | {"callbacks": [Keep()]},
    )  # fmt: skip
    model.fit(series / 10 - 1)
    losses += model.predict(24).values().ravel().tolist()
    return losses


def _neuralforecast(name: str, **options: object) -> list[float]:
    import neuralforecast.models
    import pandas as pd
    from neuralforecast import NeuralForecast

    seeded()
    frame = pd.DataFrame(
        {"unique_id": "wave", "ds": pd.date_range("2024-01-01", periods=600, freq="h"), "y": wave(600)}
    )
    model = getattr(neuralforecast.models, name)(
        h=24, input_size=72, max_steps=30, batch_size=8, windows_batch_size=64, random_seed=1, scaler_type="standard",
        **options, **QUIET,
    )  # fmt: skip
    forecast = NeuralForecast(models=[model], freq="h")
    forecast.fit(frame)
    told = [float(loss) for _, loss in forecast.models[0].train_trajectories]
    seeded()  # DeepAR samples
    return told + forecast.predict()[name].tolist()


def grid_search() -> list[float]:
    """GridSearchCV of scikit-learn over skorch's NeuralNetClassifier."""
    from sklearn.model_selection import GridSearchCV
    from skorch import NeuralNetClassifier

    class Classifier(torch.nn.Module):
        def __init__(self, hidden_size: int = 16, layers: int = 1) -> None:
            super().__init__()
            self.gru = torch.nn.GRU(3, hidden_size, layers, batch_first=True)
            self.head = torch.nn.Linear(hidden_size, 2)

        def forward(self, x):
            return self.head(self.gru(x)[1][-1])

    seeded()
    random = np.random.default_rng(0)
    X, y = random.normal(size=(240, 30, 3)).astype(np.float32), random.integers(0, 2, 240)
    X[y == 1] += 0.2
    net = NeuralNetClassifier(
        Classifier, criterion=torch.nn.CrossEntropyLoss, max_epochs=3, lr=0.05, batch_size=32, verbose=0,
        iterator_train__shuffle=False, train_split=None,
    )  # fmt: skip
    search = GridSearchCV(
        net, {"module__hidden_size": [16, 32], "module__layers": [1, 2]}, cv=3, scoring="neg_log_loss"
    ).fit(X, y)
    history = search.best_estimator_.history
    return [*search.cv_results_["mean_test_score"].tolist(), *history[:, "train_loss"]]


def characters() -> list[float]:
    """A model of characters over packed lines of different lengths."""
    from torch.nn.utils.rnn import pack_sequence

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.lstm = torch.nn.Embedding(64, 32), torch.nn.LSTM(32, 128)
            self.head = torch.nn.Linear(128, 64)

        def forward(self, lines):
            y, _ = self.lstm(lines._replace(data=self.embedding(lines.data)))
            return self.head(y.data)

    seeded()
    model = Model()
    adam = torch.optim.Adam(model.parameters(), 3e-3)
    random, losses = np.random.default_rng(0), []
    for _ in range(20):
        lengths = np.sort(random.integers(10, 80, 32))[::-1]
        lines = [torch.from_numpy(np.cumsum(random.integers(0, 3, length)) % 64) for length in lengths]
        inputs, targets = pack_sequence([line[:-1] for line in lines]), pack_sequence([line[1:] for line in lines])
        loss = torch.nn.functional.cross_entropy(model(inputs), targets.data)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses


_LIGHTNING = ("pytorch_lightning", "neuralforecast")
CLIENTS = {
    "sb3-contrib, recurrent PPO": (("sb3_contrib",), recurrent_ppo),
    "the same, with resets": (("sb3_contrib",), recurrent_ppo_resets),
    "darts, RNNModel": (("darts", "pytorch_lightning"), darts_rnn),
    "neuralforecast, LSTM": (_LIGHTNING, lambda: _neuralforecast("LSTM", encoder_hidden_size=64)),
    "neuralforecast, GRU": (_LIGHTNING, lambda: _neuralforecast("GRU", encoder_hidden_size=64)),
    "neuralforecast, RNN": (_LIGHTNING, lambda: _neuralforecast("RNN", encoder_hidden_size=64)),
    # Dropout would draw another mask than PyTorch does, and the losses could not be compared.
    "neuralforecast, DeepAR": (_LIGHTNING, lambda: _neuralforecast("DeepAR", lstm_hidden_size=64, lstm_dropout=0.0)),
    "characters in packed lines": ((), characters),
    "skorch under GridSearchCV": (("skorch",), grid_search),
}
