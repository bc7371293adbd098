"""A trained policy with everything that is needed to use it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

from rltransfer.agents import building, bundle, checks, document, reading, text
from rltransfer.agents.card import Card, Score
from rltransfer.agents.multitask.methods import TaskMethods
from rltransfer.agents.normalization import Normalization
from rltransfer.errors import BadArgument, BadCheckpoint, TransferError, UnknownName, suggest

__all__ = ["Agent", "Card", "Score"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Agent(TaskMethods):
    """A trained policy, the spaces it lives in, and how it was trained.

    All fields but the tensors and the spaces are JSON data: schedules and classes are written as
    text. :meth:`arguments` turns them into live constructor arguments.

    Attributes:
        algorithm: ``"ppo"``, ``"maskable_ppo"`` or ``"recurrent_ppo"``.
        policy: Policy name, such as ``"MlpPolicy"``, or ``"module:QualName"`` of a user's class.
        policy_kwargs: Arguments of the policy, as JSON data.
        observation_space: What the policy sees (after image transposition).
        action_space: What the policy gives.
        weights: State of the policy on the CPU, by the names of its ``state_dict``.
        hyperparameters: ``learning_rate``, ``n_steps``, ... of the algorithm, and ``n_envs``.
        normalization: Statistics of ``VecNormalize``, or None when none was used.
        optimizer: State of the optimizer, as ``"<parameter>/exp_avg"``, ..., or None.
        card: Where it comes from, and how well it does.
        classes: Classes of the user that are known in this process, by ``"module:QualName"``;
            never stored.
    """

    algorithm: str
    policy: str
    policy_kwargs: Mapping[str, Any]
    observation_space: gym.Space
    action_space: gym.Space
    weights: Mapping[str, torch.Tensor]
    hyperparameters: Mapping[str, Any]
    normalization: Normalization | None
    optimizer: Mapping[str, torch.Tensor] | None
    card: Card
    classes: Mapping[str, type] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.check(self)

    @classmethod
    def from_model(
        cls,
        model: Any,
        *,
        card: Card,
        optimizer: bool = True,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> Agent:
        """Take the agent out of a live Stable-Baselines3 model, as a copy.

        What belongs to the training rather than to the agent is not taken: the environment, the
        rollout buffer, random states, callbacks, the logger.

        Args:
            model: A PPO, MaskablePPO or RecurrentPPO, or a subclass of one.
            card: Where it comes from.
            optimizer: Whether to take the state of the optimizer too.
            hyperparameters: Values to take instead of the model's, by name, for instance where
                the model has a function as its learning rate.

        Raises:
            BadArgument: The model is of another kind, has NaN weights, or holds something that
                cannot be stored as data.
            UnknownName: No hyperparameter has that name.
        """
        fields = reading.fields_of(model, optimizer=optimizer, overrides=hyperparameters)
        return cls(card=card, **fields)

    @classmethod
    def read(cls, path: str | Path, *, classes: Mapping[str, type] | None = None) -> Agent:
        """Read the agent that :meth:`save` wrote; nothing in the files is executed.

        Args:
            path: With or without ``.safetensors`` or ``.json``.
            classes: Classes of the user that the policy needs, by ``"module:QualName"`` or by
                name.

        Raises:
            BadCheckpoint: A file is missing, corrupt, truncated, or of another agent.
        """
        tensors, data = bundle.read(path)
        try:
            return cls(**document.read(tensors, data), classes=dict(classes or {}))
        except TransferError as error:
            raise BadCheckpoint(f"{bundle.pair(path)[1]}: {error}") from error

    @property
    def sha256(self) -> str:
        """Sha256 of the whole agent, the same in memory and on disk."""
        return bundle.seal(*document.write(self))[2]

    def arguments(self, classes: Mapping[str, type] | None = None) -> dict[str, Any]:
        """Return live keyword arguments for the algorithm's constructor.

        They make the same policy, untrained, on an environment: ``PPO(env=env,
        **agent.arguments())``.

        Args:
            classes: Classes of the user that the policy needs, by ``"module:QualName"`` or by
                name.

        Raises:
            BadArgument: A class is needed and was not given.
        """
        return building.arguments(self, classes)

    def policy_class(self, classes: Mapping[str, type] | None = None) -> str | type:
        """Return the ``policy`` of :meth:`arguments`: an SB3 name, or the class of the user."""
        return self.arguments(classes)["policy"]

    def live_policy_kwargs(self, classes: Mapping[str, type] | None = None) -> dict[str, Any]:
        """Return the ``policy_kwargs`` of :meth:`arguments`, with classes in place of names."""
        return self.arguments(classes)["policy_kwargs"]

    def build(
        self,
        device: torch.device | str = "cpu",
        classes: Mapping[str, type] | None = None,
        algorithm_class: type | None = None,
    ) -> Any:
        """Build the Stable-Baselines3 model of this agent, on its own spaces.

        It has no environment: give it one with ``set_env``, of ``n_envs`` copies. Observations
        that were normalized in training must be normalized before ``predict`` too. The
        process-wide random state is left as it was.

        Args:
            device: Where the policy is put.
            classes: As for :meth:`arguments`.
            algorithm_class: A subclass to build instead of the plain algorithm.

        Returns:
            A PPO, MaskablePPO or RecurrentPPO, or ``algorithm_class``, in evaluation mode, that
            predicts exactly as the model did that this agent was taken from.

        Raises:
            BadArgument: A class is needed and was not given, or does not fit.
            BadCheckpoint: The weights do not fit the policy, by name, shape or dtype.
        """
        return building.build(self, device=device, classes=classes, algorithm_class=algorithm_class)

    def save(self, path: str | Path) -> Path:
        """Write ``PATH.safetensors`` and ``PATH.json``, which :func:`rltransfer.load` reads.

        A crash leaves the agent that was there before or this one, never a mixture.

        Args:
            path: With or without ``.safetensors`` or ``.json``; the folder must exist.

        Returns:
            The path of the JSON file.

        Raises:
            BadArgument: The path ends in ``.zip``.
            NotWritable: It could not be written; the agent that was there before is unharmed.
        """
        if Path(path).suffix == ".zip":
            raise BadArgument(f"{path}: save writes .safetensors and .json; for a zip use to_sb3")
        bundle.write(path, *document.write(self))
        return bundle.pair(path)[1]

    def to_sb3(self, path: str | Path, *, classes: Mapping[str, type] | None = None) -> Path:
        """Write a zip that plain ``PPO.load`` opens and trains on, without rltransfer.

        The zip has no place for the statistics of ``VecNormalize``: they are written beside it, as
        ``NAME.vecnormalize.pkl``, for SB3's ``VecNormalize.load``.

        Args:
            path: With or without ``.zip``; the folder must exist.
            classes: As for :meth:`arguments`.

        Returns:
            The path of the zip.

        Raises:
            BadArgument: A class is needed and was not given, or the agent is one of several tasks:
                take one with :meth:`for_task`.
            NotWritable: It could not be written; what was there before is unharmed.
        """
        from rltransfer.agents.sb3 import export  # whose package reads agents, too

        return export.export(self, path, classes=classes)

    def with_card(self, **changes: Any) -> Agent:
        """Return this agent with some fields of its card changed.

        Raises:
            BadArgument: A value is out of range.
            UnknownName: No field has that name.
        """
        names = [part.name for part in dataclasses.fields(Card)]
        for name in changes:
            if name not in names:
                raise UnknownName(suggest(name, names, kind="field of a card"))
        return dataclasses.replace(self, card=dataclasses.replace(self.card, **changes))

    def describe(self) -> str:
        """Return the model card as text, one fact a line."""
        return text.describe(self)

    def __str__(self) -> str:
        return self.describe()

    def __repr__(self) -> str:
        return f"Agent({self.card.name!r}, {self.algorithm}, {self.policy}, on {self.card.task})"
