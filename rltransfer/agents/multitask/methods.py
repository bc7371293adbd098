"""The methods of agents that concern several tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import gymnasium as gym

from rltransfer.agents.multitask import names

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent


class TaskMethods:
    """What :class:`rltransfer.Agent` says and does about its tasks."""

    @property
    def multitask(self) -> bool:
        """Whether its policy is one of several tasks, in their packed spaces."""
        return names.is_multitask(cast("Agent", self))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Gymnasium ids of its tasks: one alone for an ordinary agent."""
        return names.ids(cast("Agent", self))

    def for_task(self, id: str) -> Agent:
        """Return the agent of one task, with the same outputs in the task's own spaces.

        Where observations are vectors or classes and the trunk is an MLP, it is an ordinary
        ``MlpPolicy`` whose zip needs no rltransfer; another policy has the features extractor
        ``TaskFeatures``. Values are in units of the task's return. The state of the optimizer is
        left out, as is correlated exploration noise.

        Args:
            id: One of :attr:`tasks`.

        Returns:
            An agent called ``NAME#ID``; this one itself, if it is an ordinary agent of that task.

        Raises:
            UnknownName: It has no such task.
            BadArgument: The task has action masks and the policy a memory.
            SpaceMismatch: Stable-Baselines3 has no policy for the task's spaces.
        """
        from rltransfer.agents.multitask.single import for_task

        return for_task(cast("Agent", self), id)

    def as_multitask(self, *, noise: float = 0.0, log_std: float | None = None) -> Agent:
        """Return an ordinary agent as a multi-task agent of its one task, to add others to.

        The first hidden layer of an ``MlpPolicy`` becomes the task's encoder, the others the trunk.
        Actions and their probabilities stay what they are. Values are in units of the task's
        return: those of an agent that was trained on normalized rewards are scaled back.
        Statistics of observations are kept in single precision.

        Args:
            noise: Correlation of exploration noise, for continuous actions.
            log_std: Standard deviation of the actions from now on, as a logarithm; needed in place
                of one that depends on the state (gSDE).

        Returns:
            The agent; this one itself, if it is a multi-task agent.

        Raises:
            BadArgument: It is none of an ``MlpPolicy`` with equal hidden layers for actor and
                critic, or explores by gSDE and ``log_std`` is not given.
            SpaceMismatch: Multi-task policies have no such spaces.
        """
        from rltransfer.agents.multitask.converting import as_multitask

        return as_multitask(cast("Agent", self), noise=noise, log_std=log_std)

    def add_task(
        self,
        id: str,
        *,
        source: Agent | None = None,
        encoder: str | None = None,
        head: str | None = None,
        gamma: float | None = None,
        noise: float = 0.0,
        log_std: float | None = None,
        seed: int = 0,
        observation_space: gym.Space | None = None,
        action_space: gym.Space | None = None,
        masked: bool | None = None,
        vector: Sequence[float] | None = None,
    ) -> Agent:
        """Return a multi-task agent with one more task; all that the others compute stays.

        The new task gets an encoder and heads of its own. One-hot conditioning becomes a learned
        embedding that begins with the same codes. The state of the optimizer is kept for all
        parameters but such an embedding.

        Args:
            id: Gymnasium id of the task.
            source: An ordinary agent whose first hidden layer and heads become the encoder and the
                heads; without one they are new. Its other hidden layers are left out: the trunk is
                that of the others.
            encoder: Name of an encoder to share, or of a new one; by default a new one.
            head: Name of an actor's head to share, or of a new one; by default a new one.
            gamma: Discount factor; the source's by default, or else 0.99.
            noise: Correlation of exploration noise, for continuous actions.
            log_std: Standard deviation that continuous actions start with, as a logarithm; the
                source's by default, or else 0.
            seed: Seed of all that is new.
            observation_space: What the task observes; made from the environment by default.
            action_space: How it acts; made from the environment by default.
            masked: Whether it has action masks; by default as its environment says.
            vector: What tells the trunk the task: needed with ``conditioning="sentence"``, and
                drawn from ``seed`` by default where it is learned.

        Raises:
            BadArgument: This is no multi-task agent, it has the task already, an option is outside
                its range, or the source is of another kind.
            SpaceMismatch: The source's spaces or layers are not those that are needed.
            UnknownName: There is no such environment.
        """
        from rltransfer.agents.multitask.changing import add_task

        return add_task(
            cast("Agent", self),
            id,
            noise=noise,
            log_std=log_std,
            seed=seed,
            source=source,
            encoder=encoder,
            head=head,
            gamma=gamma,
            observation_space=observation_space,
            action_space=action_space,
            masked=masked,
            vector=vector,
        )

    def without(self, id: str) -> Agent:
        """Return a multi-task agent without one of its tasks; all that the others compute stays.

        The task's encoder and head go too, unless another task shares them.

        Args:
            id: One of :attr:`tasks`.

        Raises:
            UnknownName: It has no such task.
            BadArgument: This is no multi-task agent, or it has no other task.
        """
        from rltransfer.agents.multitask.changing import without

        return without(cast("Agent", self), id)
