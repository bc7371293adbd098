"""The modules of a policy for many tasks: encoders and heads of their own, a shared trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.policies.conditioning import make_conditioning
from rltransfer.policies.encoders import is_vector, make_encoder
from rltransfer.policies.heads import ActionDistribution
from rltransfer.policies.noise import CorrelatedNoise
from rltransfer.policies.observation_stats import ObservationStats
from rltransfer.policies.packing import Packing, flat_size
from rltransfer.policies.streams import Stream
from rltransfer.policies.tasks import PolicyTask, index_of, policy_tasks
from rltransfer.policies.trunks import make_trunk
from rltransfer.policies.value_head import ValueHead


class TaskNetworks(ActorCriticPolicy):
    """An actor-critic policy that has modules for several tasks, and does not compute yet.

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
        # By name, as a constructor in between would build networks of its own.
        ActorCriticPolicy.__init__(
            self,
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

    def reset_noise(self, n_envs: int = 1) -> None:
        """Start new streams of correlated exploration noise."""
        for noise in self.noise.values():
            noise.reset()

    def _build(self, lr_schedule: Any) -> None:
        """Called by the constructor of SB3, whose networks this policy does without."""

    def _build_modules(self) -> None:
        given = self._options
        self.context: Any = make_conditioning(
            given["conditioning"], len(self.tasks), **given["conditioning_kwargs"]
        )
        self.actor = self._stream()
        self.critic = self.actor if given["share_critic"] else self._stream()
        width = self._build_memory(self.actor.trunk.out_features)
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

    def _build_memory(self, width: int) -> int:
        """Build what lies between trunk and heads, of the given width; return the heads' width."""
        return width

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

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            **self._options,
            "tasks": list(self.tasks),
            "activation_fn": self.activation_fn,
            "ortho_init": self.ortho_init,
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
            "lr_schedule": self._dummy_schedule,
        }
