"""An actor-critic policy with memory for many tasks, for sb3-contrib's RecurrentPPO."""

# sb3-contrib's policies have other signatures than SB3's, from which they derive.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from torch import Tensor, nn

from rltransfer.errors import BadArgument
from rltransfer.policies.by_task import PolicyByTask
from rltransfer.policies.streams import Sorted

# Hidden and cell states of an LSTM, each of shape (layers, sequences, hidden size).
States = tuple[Tensor, ...]

_BRANCHES = ("actor.", "critic.")


class MultiTaskLstmPolicy(PolicyByTask, RecurrentActorCriticPolicy):
    """A multi-task policy whose trunk is followed by an LSTM that all tasks share.

    A batch holds sequences of equal length behind each other, each of one task or of several.
    Tasks that need no memory may be among those that do. Layer groups are those of
    :class:`rltransfer.policies.networks.TaskNetworks`, and ``actor.lstm`` and ``critic.lstm``.

    Args:
        args: As for :class:`rltransfer.policies.networks.TaskNetworks`.
        lstm_hidden_size: Numbers that the LSTM remembers in each layer, and gives to the heads.
        n_lstm_layers: Its layers.
        kwargs: As for :class:`rltransfer.policies.networks.TaskNetworks`. With ``share_critic``
            the critic has the actor's LSTM, and trains it too.

    Raises:
        BadArgument: An option is outside its range.
        SpaceMismatch: Spaces are not the packed ones of the tasks.

    Source: Hochreiter & Schmidhuber 1997, "Long short-term memory"; how sequences are trained
    follows sb3-contrib's ``RecurrentPPO``.
    """

    def __init__(
        self, *args: Any, lstm_hidden_size: int = 64, n_lstm_layers: int = 1, **kwargs: Any
    ) -> None:
        self._lstm_options = {"lstm_hidden_size": lstm_hidden_size, "n_lstm_layers": n_lstm_layers}
        for name, value in self._lstm_options.items():
            if type(value) is not int or value < 1:
                raise BadArgument(f"{name} is {value!r}: give a whole number, at least 1")
        self._normalized = False
        super().__init__(*args, **kwargs)

    # -- What Stable-Baselines3 calls ---------------------------------------------------------

    def forward(
        self,
        obs: Tensor,
        lstm_states: RNNStates,
        episode_starts: Tensor,
        deterministic: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor, RNNStates]:
        """Act, for a rollout.

        Args:
            obs: Packed observations, shape (n, 1 + P).
            lstm_states: What actor and critic remember.
            episode_starts: 1 where an episode begins, which forgets; shape (n,).
            deterministic: Whether to take the most likely actions.

        Returns:
            Packed actions (n, A), values in units of each task's return (n, 1), log probabilities
            (n,), and what is remembered then.
        """
        batch = self._sorted(obs)
        acting, judging, states = self._remembered(batch, lstm_states, episode_starts)
        actions = self._act(batch, acting, deterministic=deterministic, explore=True)
        log_prob, _ = self._evaluate(batch, acting, actions)
        values = batch.unsorted(self._values(batch, judging, normalized=False))[:, None]
        return batch.unsorted(actions), values, batch.unsorted(log_prob), states

    def evaluate_actions(
        self, obs: Tensor, actions: Tensor, lstm_states: RNNStates, episode_starts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate packed actions; see ``RecurrentActorCriticPolicy.evaluate_actions``.

        Returns:
            Values (n, 1) in units of each task's return, or normalized ones within
            :meth:`normalized_values`; log probabilities (n,) and entropies (n,).
        """
        batch = self._sorted(obs)
        acting, judging, _ = self._remembered(batch, lstm_states, episode_starts)
        log_prob, entropy = self._evaluate(batch, acting, batch.sorted(actions))
        values = batch.unsorted(self._values(batch, judging, normalized=self._normalized))
        return values[:, None], batch.unsorted(log_prob), batch.unsorted(entropy)

    def predict_values(self, obs: Tensor, lstm_states: States, episode_starts: Tensor) -> Tensor:
        """Values of packed observations, shape (n, 1), in units of each task's return."""
        batch = self._sorted(obs)
        _, judging = self._features(batch, actor=False)
        lstm = self.lstm_critic or self.lstm_actor
        judging, _ = self._remember(batch, judging, lstm_states, episode_starts, lstm)
        return batch.unsorted(self._values(batch, judging, normalized=False))[:, None]

    def get_distribution(self, obs: Any, *args: Any) -> Any:
        """Not available: rows of one batch have distributions of several kinds.

        Raises:
            BadArgument: Always; it names what to call instead.
        """
        raise BadArgument(
            "a multi-task policy has one action distribution per task: use evaluate_actions() or "
            "predict(); act(id, observations) chooses actions of one task"
        )

    def _predict(
        self,
        observation: Any,
        lstm_states: States,
        episode_starts: Tensor,
        deterministic: bool = False,
    ) -> tuple[Tensor, States]:
        batch = self._sorted(observation)
        acting, _ = self._features(batch, critic=False)
        acting, states = self._remember(batch, acting, lstm_states, episode_starts, self.lstm_actor)
        actions = self._act(batch, acting, deterministic=deterministic, explore=False)
        return batch.unsorted(actions), states

    # -- For rltransfer -----------------------------------------------------------------------

    @contextmanager
    def normalized_values(self) -> Iterator[None]:
        """Let :meth:`evaluate_actions` give values as their heads do, for an update."""
        self._normalized = True
        try:
            yield
        finally:
            self._normalized = False

    def layer_groups(self) -> dict[str, list[str]]:
        """Name the layers, input to output; see :mod:`rltransfer.layers`."""
        groups = super().layer_groups()
        heads = {name: groups.pop(name) for name in list(groups) if name.startswith(_BRANCHES)}
        groups["actor.lstm"] = ["lstm_actor"]
        if self.lstm_critic is not None:
            groups["critic.lstm"] = ["lstm_critic"]
        return groups | heads

    def act(
        self,
        id: str,
        observations: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        *,
        masks: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Choose actions for observations of one task, each in the task's own space.

        Args:
            id: The task.
            observations: Shape (n, ...), or a dict of such.
            state: What the call before gave; None to begin.
            episode_start: Where an episode begins, shape (n,); None for nowhere.
            masks: Valid actions, shape (n, flags), if the task has masks.
            deterministic: Whether to take the most likely actions.

        Returns:
            Actions, shape (n, *action shape), and the state for the next call.

        Raises:
            UnknownName: The policy has no such task.
        """
        index = self.index(id)
        packed = self.packing.observations(index, observations, masks)
        chosen, state = self.predict(packed, state, episode_start, deterministic)
        return self.packing.actions(index, chosen), state

    # -- Inner workings -----------------------------------------------------------------------

    def _build_memory(self, width: int) -> int:
        size, layers = self._lstm_options.values()
        self.lstm_actor = nn.LSTM(width, size, num_layers=layers)
        self.lstm_critic = None
        if self.critic is not self.actor:
            self.lstm_critic = nn.LSTM(width, size, num_layers=layers)
        self.lstm_hidden_state_shape = (layers, 1, size)
        return size

    def _remembered(
        self, batch: Sorted, states: RNNStates, starts: Tensor
    ) -> tuple[Tensor, Tensor, RNNStates]:
        """Compute what the heads of actor and critic see, and what is remembered then."""
        acting, judging = self._features(batch)
        acting, pi = self._remember(batch, acting, states.pi, starts, self.lstm_actor)
        if self.lstm_critic is None:
            return acting, acting, RNNStates(pi, pi)
        judging, vf = self._remember(batch, judging, states.vf, starts, self.lstm_critic)
        return acting, judging, RNNStates(pi, vf)

    def _remember(
        self, batch: Sorted, features: Tensor, states: States, starts: Tensor, lstm: nn.LSTM
    ) -> tuple[Tensor, States]:
        """Run an LSTM over sequences, which have the order of the given batch."""
        in_time = batch.unsorted(features)
        sequences = states[0].shape[1]
        starts = starts.to(in_time.dtype).reshape(sequences, -1)
        hidden, cell = (one.to(in_time.dtype) for one in states)
        if not bool(starts[:, 1:].any()):
            # Told of no start, it runs over all steps at once rather than step by step.
            keep = (1 - starts[:, 0])[None, :, None]
            hidden, cell, starts = hidden * keep, cell * keep, torch.zeros_like(starts)
        seen, after = self._process_sequence(in_time, (hidden, cell), starts.flatten(), lstm)
        return batch.sorted(seen), tuple(after)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self._lstm_options}
