"""One actor-critic policy for many tasks: their own encoders and heads around a shared trunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor, nn

from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.policies.conditioning import make_conditioning
from rltransfer.policies.encoders import is_vector, make_encoder
from rltransfer.policies.heads import ActionDistribution
from rltransfer.policies.noise import CorrelatedNoise
from rltransfer.policies.observation_stats import ObservationStats
from rltransfer.policies.packing import Packing, flat_size
from rltransfer.policies.streams import Sorted, Stream
from rltransfer.policies.tasks import PolicyTask, index_of, policy_tasks
from rltransfer.policies.trunks import make_trunk
from rltransfer.policies.value_head import ValueHead


class MultiTaskPolicy(ActorCriticPolicy):
    """An actor-critic policy over the packed spaces of several tasks.

    Each row of a batch belongs to the task that its first number names. It goes through that task's
    encoder, the trunk, and that task's heads; log probability and entropy are those of the task's
    own action. With one task it is an ordinary policy.

    Layer groups are ``encoder.NAME``, ``trunk.N``, ``context``, ``actor.std.NAME``,
    ``actor.head.NAME`` and ``critic.head.TASK``; those of encoders and trunk hold the actor's and
    the critic's layers.

    Args:
        observation_space: ``Packing(tasks).observation_space``.
        action_space: ``Packing(tasks).action_space``.
        lr_schedule: Learning rate by remaining progress.
        tasks: The tasks, or their fields.
        width: Features of each encoder.
        encoder_kind: ``"auto"`` or ``"grid"``; see :mod:`rltransfer.policies.encoders`.
        trunk: Kind of the trunk; see :mod:`rltransfer.policies.trunks`.
        trunk_kwargs: Its options.
        conditioning: ``"heads"``, ``"one-hot"``, ``"embedding"`` or ``"sentence"``.
        conditioning_kwargs: Its options.
        share_critic: Whether actor and critic are one stream. SB3's policies have one of each,
            which is the default.
        normalize_observations: Whether vectors are normalized by running statistics of their
            encoder.
        activation_fn: Class of the activations.
        ortho_init: Whether weights start orthogonal, as in SB3.
        optimizer_class: Of the parameters; Adam by default.
        optimizer_kwargs: Its options; with Adam, SB3's ``eps=1e-5`` by default.
        use_sde: Not supported; see ``noise`` of :class:`PolicyTask`.

    Raises:
        BadArgument: An option is outside its range.
        SpaceMismatch: Spaces are not the packed ones of the tasks.
    """

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        lr_schedule: Any,
        *,
        tasks: Sequence[PolicyTask | Mapping[str, Any]],
        width: int = 64,
        encoder_kind: str = "auto",
        trunk: str = "mlp",
        trunk_kwargs: Mapping[str, Any] | None = None,
        conditioning: str = "heads",
        conditioning_kwargs: Mapping[str, Any] | None = None,
        share_critic: bool = False,
        normalize_observations: bool = False,
        activation_fn: type[nn.Module] = nn.Tanh,
        ortho_init: bool = True,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        use_sde: bool = False,
    ) -> None:
        if use_sde:
            raise BadArgument(
                "a multi-task policy does not explore by gSDE: set noise of its continuous tasks, "
                "such as 0.9, for exploration that is correlated in time"
            )
        if type(width) is not int or width < 1:
            raise BadArgument(f"width is {width!r}: give the number of features, at least 1")
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[],
            activation_fn=activation_fn,
            ortho_init=ortho_init,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )
        self.tasks = policy_tasks(tasks)
        self.packing = Packing(self.tasks)
        self._options = {
            "width": width,
            "encoder_kind": encoder_kind,
            "trunk": trunk,
            "trunk_kwargs": dict(trunk_kwargs or {}),
            "conditioning": conditioning,
            "conditioning_kwargs": dict(conditioning_kwargs or {}),
            "share_critic": share_critic,
            "normalize_observations": normalize_observations,
        }
        self._check_spaces()
        self._build_modules()
        self._initialize(lr_schedule)

    # -- What Stable-Baselines3 calls ---------------------------------------------------------

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Act, for a rollout.

        Args:
            obs: Packed observations, shape (n, 1 + P).
            deterministic: Whether to take the most likely actions.

        Returns:
            Packed actions (n, A), values in units of each task's return (n, 1), and log
            probabilities (n,).
        """
        batch = self._sorted(obs)
        acting, judging = self._features(batch)
        actions = self._act(batch, acting, deterministic=deterministic, explore=True)
        log_prob, _ = self._evaluate(batch, acting, actions)
        values = self._values(batch, judging, normalized=False)
        return batch.unsorted(actions), batch.unsorted(values)[:, None], batch.unsorted(log_prob)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate packed actions; see ``ActorCriticPolicy.evaluate_actions``.

        Returns:
            Values (n, 1) in units of each task's return, log probabilities (n,) and entropies (n,).
        """
        values, log_prob, entropy = self._evaluated(obs, actions, normalized=False)
        return values[:, None], log_prob, entropy

    def evaluate_normalized(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate packed actions; values, shape (n,), are normalized, as their heads give them."""
        return self._evaluated(obs, actions, normalized=True)

    def predict_values(self, obs: Any) -> Tensor:
        """Values of packed observations, shape (n, 1), in units of each task's return."""
        batch = self._sorted(obs)
        _, judging = self._features(batch, actor=False)
        return batch.unsorted(self._values(batch, judging, normalized=False))[:, None]

    def get_distribution(self, obs: Any) -> Any:
        """Not available: rows of one batch have distributions of several kinds.

        Raises:
            BadArgument: Always; it names what to call instead.
        """
        raise BadArgument(
            "a multi-task policy has one action distribution per task: use evaluate_actions() or "
            "predict(), or agent.for_task(id) for a policy of one task"
        )

    def reset_noise(self, n_envs: int = 1) -> None:
        """Start new streams of correlated exploration noise."""
        for noise in self.noise.values():
            noise.reset()

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        batch = self._sorted(observation)
        acting, _ = self._features(batch, critic=False)
        actions = self._act(batch, acting, deterministic=deterministic, explore=False)
        return batch.unsorted(actions)

    # -- For rltransfer -----------------------------------------------------------------------

    def layer_groups(self) -> dict[str, list[str]]:
        """Name the layers, input to output; see :mod:`rltransfer.layers`."""
        streams = ["actor"] if self.critic is self.actor else ["actor", "critic"]
        stats = self.observation_stats
        groups = {
            f"encoder.{name}": [
                *([f"observation_stats.{name}"] if name in stats else []),
                *(f"{stream}.encoders.{name}" for stream in streams),
            ]
            for name in self.actor.encoders
        }
        if self.context is not None and list(self.context.state_dict()):
            groups["context"] = ["context"]
        for i in range(len(self.actor.trunk.layers)):
            groups[f"trunk.{i}"] = [f"{stream}.trunk.layers.{i}" for stream in streams]
        groups |= {f"actor.std.{name}": [f"log_stds.{name}"] for name in self.log_stds}
        groups |= {f"actor.head.{name}": [f"action_heads.{name}"] for name in self.action_heads}
        return groups | {f"critic.head.{key}": [f"value_heads.{key}"] for key in self.value_heads}

    def index(self, id: str) -> int:
        """Index of a task.

        Raises:
            UnknownName: The policy has no such task.
        """
        return index_of(self.tasks, id)

    def act(
        self,
        id: str,
        observations: Any,
        *,
        masks: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> np.ndarray:
        """Choose actions for observations of one task, each in the task's own space.

        Args:
            id: The task.
            observations: Shape (n, ...), or a dict of such.
            masks: Valid actions, shape (n, flags), if the task has masks.
            deterministic: Whether to take the most likely actions.

        Returns:
            Actions, shape (n, *action shape).

        Raises:
            UnknownName: The policy has no such task.
            SpaceMismatch: The observations are not of the task's space.
        """
        index = self.index(id)
        packed = self.packing.observations(index, observations, masks)
        with torch.no_grad():
            chosen = self._predict(torch.as_tensor(packed, device=self.device), deterministic)
        return self.packing.actions(index, chosen.cpu().numpy())

    # -- Inner workings -----------------------------------------------------------------------

    def _build(self, lr_schedule: Any) -> None:
        """Called by the constructor of SB3, whose networks this policy does without."""

    def _build_modules(self) -> None:
        given = self._options
        self.context: Any = make_conditioning(
            given["conditioning"], len(self.tasks), **given["conditioning_kwargs"]
        )
        self.actor = self._stream()
        self.critic = self.actor if given["share_critic"] else self._stream()
        width = self.actor.trunk.out_features
        self.noise = {t.key: CorrelatedNoise(t.noise) for t in self.tasks if t.noise}
        self.distributions = [ActionDistribution(t, self.noise.get(t.key)) for t in self.tasks]
        self.action_heads, self.log_stds = nn.ModuleDict(), nn.ParameterDict()
        for task, distribution in zip(self.tasks, self.distributions, strict=True):
            if task.head not in self.action_heads:
                self.action_heads[task.head] = nn.Linear(width, distribution.outputs)
                if task.continuous:
                    start = torch.full((distribution.size,), float(task.log_std))
                    self.log_stds[task.head] = nn.Parameter(start)
        self.value_heads = nn.ModuleDict({t.key: ValueHead(width) for t in self.tasks})
        self.observation_stats = nn.ModuleDict(
            {
                task.encoder: ObservationStats(flat_size(task.observation_space))
                for task in self.tasks
                if given["normalize_observations"] and is_vector(task.observation_space)
            }
        )

    def _stream(self) -> Stream:
        given = self._options
        width, activation_fn = given["width"], self.activation_fn
        encoders = {
            task.encoder: task.observation_space
            for task in reversed(self.tasks)  # so that the first task's comes last, and stays
        }
        made = {
            name: make_encoder(space, width, activation_fn, kind=given["encoder_kind"])
            for name, space in reversed(encoders.items())
        }
        size = 0 if self.context is None else int(self.context.size)
        trunk = make_trunk(
            given["trunk"], width, size, activation_fn=activation_fn, **given["trunk_kwargs"]
        )
        return Stream(made, trunk)

    def _initialize(self, lr_schedule: Any) -> None:
        if self.ortho_init:
            streams = [self.actor] if self.critic is self.actor else [self.actor, self.critic]
            gains = [*((stream, np.sqrt(2)) for stream in streams)]
            gains += [(self.action_heads, 0.01), (self.value_heads, 1.0)]
            for module, gain in gains:
                module.apply(partial(self.init_weights, gain=float(gain)))
        make: Any = self.optimizer_class
        self.optimizer = make(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _check_spaces(self) -> None:
        expected = (self.packing.observation_space, self.packing.action_space)
        if (self.observation_space, self.action_space) != expected:
            raise SpaceMismatch(
                f"the policy's tasks pack into {expected[0]} and {expected[1]}, but the "
                f"environment has {self.observation_space} and {self.action_space}: give it the "
                "environments of MultiTaskVecEnv with the same tasks in the same order"
            )

    def _sorted(self, obs: Tensor) -> Sorted:
        numbers = obs.to(next(self.parameters()).dtype)
        index = numbers[:, 0]
        valid = (index >= 0) & (index < len(self.tasks)) & (index == index.round())
        if not bool(valid.all()):
            wrong = float(index[~valid][0])
            listed = ", ".join(f"{i} ({task.id})" for i, task in enumerate(self.tasks))
            raise BadArgument(
                f"an observation begins with {wrong:g}, which is no task of this policy: it has "
                f"{listed}; policy.act(id, observations) packs them by id"
            )
        return Sorted.of(numbers, len(self.tasks))

    def _features(
        self, batch: Sorted, *, actor: bool = True, critic: bool = True
    ) -> tuple[Any, Any]:
        inputs, names = [], []
        for part in batch.parts:
            task, size = self.tasks[part.index], self.packing.sizes[part.index]
            own = batch.observations[part.rows, 1 : 1 + size]
            if task.encoder in self.observation_stats:
                own = self.observation_stats[task.encoder](own)
            inputs.append(own)
            names.append(task.encoder)
        context = None if self.context is None else self.context(batch.tasks, batch.observations)
        acting = self.actor(inputs, names, context) if actor or self.critic is self.actor else None
        if self.critic is self.actor:
            return acting, acting
        return acting, self.critic(inputs, names, context) if critic else None

    def _parts(self, batch: Sorted, features: Tensor) -> Iterator[tuple[Any, ...]]:
        """Give each task's rows, distribution, outputs, log standard deviation and mask."""
        for part in batch.parts:
            head, size = self.tasks[part.index].head, self.packing.sizes[part.index]
            flags = self.packing.masks[part.index]
            mask = batch.observations[part.rows, 1 + size : 1 + size + flags] if flags else None
            outputs = self.action_heads[head](features[part.rows])
            log_std = self.log_stds.get(head, None)
            yield part.rows, self.distributions[part.index], outputs, log_std, mask

    def _act(
        self, batch: Sorted, features: Tensor, *, deterministic: bool, explore: bool
    ) -> Tensor:
        actions = features.new_zeros(len(features), *(self.packing.action_space.shape))
        for rows, distribution, *given in self._parts(batch, features):
            if deterministic:
                chosen = distribution.mode(*given)
            else:
                chosen = distribution.sample(*given, explore=explore)
            actions[rows, : distribution.size] = chosen.to(actions.dtype)
        return actions

    def _evaluate(self, batch: Sorted, features: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        found = [
            distribution.evaluate(*given, actions[rows])
            for rows, distribution, *given in self._parts(batch, features)
        ]
        log_probs, entropies = zip(*found, strict=True)
        return torch.cat(log_probs), torch.cat(entropies)

    def _values(self, batch: Sorted, features: Tensor, *, normalized: bool) -> Tensor:
        found = []
        for part in batch.parts:
            head: Any = self.value_heads[self.tasks[part.index].key]
            values = head(features[part.rows])
            found.append(values if normalized else head.denormalize(values))
        return torch.cat(found)

    def _evaluated(
        self, obs: Tensor, actions: Tensor, *, normalized: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch = self._sorted(obs)
        acting, judging = self._features(batch)
        in_order = actions if batch.order is None else actions[batch.order]
        log_prob, entropy = self._evaluate(batch, acting, in_order)
        values = self._values(batch, judging, normalized=normalized)
        return batch.unsorted(values), batch.unsorted(log_prob), batch.unsorted(entropy)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            **BasePolicy._get_constructor_parameters(self),
            **self._options,
            "tasks": list(self.tasks),
            "activation_fn": self.activation_fn,
            "ortho_init": self.ortho_init,
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
            "lr_schedule": self._dummy_schedule,
        }
