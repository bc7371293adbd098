"""Distilling a source into a student that tells little of any trajectory."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rltransfer.agents import Agent, Card, Normalization, RunningStats, load
from rltransfer.agents.multitask.names import of_one_task
from rltransfer.agents.numbers import finite, whole
from rltransfer.agents.policies import algorithm_class
from rltransfer.errors import BadArgument
from rltransfer.normalizing import observation_normalizer
from rltransfer.privacy.accounting import Privacy
from rltransfer.privacy.descent import PrivateDescent
from rltransfer.privacy.given import (
    check_source,
    checked_trajectories,
    privacy_of,
    public_normalization,
)
from rltransfer.random_streams import drawn_from
from rltransfer.training.build import policy_arguments
from rltransfer.training.terms import Teacher
from rltransfer.training.terms.actions import Actions, kl
from rltransfer.training.threads import few_threads

_NOT_COVERED = (
    "Protected are the states of the recorded trajectories. Not protected is what the source's own "
    "training saw, as far as its answers tell of it; the architecture, the hyperparameters and the "
    "number of trajectories are taken to be public, and so are the student's observation "
    "statistics, which are not the source's. The critic is untrained."
)


def distill_private(
    source: Agent | str | Path,
    trajectories: Sequence[np.ndarray],
    *,
    epsilon: float | None = None,
    noise_multiplier: float | None = None,
    delta: float = 1e-5,
    clip: float = 1.0,
    sample_rate: float = 0.1,
    steps: int = 200,
    learning_rate: float = 0.03,
    optimizer: Literal["adam", "sgd"] = "adam",
    statistics: RunningStats | None = None,
    policy_kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
    seed: int | None = None,
    classes: Mapping[str, type] | None = None,
) -> Agent:
    """Train a student on what a source would do in private trajectories, by DP-SGD.

    The unit of privacy is a whole trajectory: it may be one person's. The loss of a trajectory is
    the mean of KL(source || student) over its states; its gradient is clipped as a whole.

    What the guarantee is about: whoever sees the student can hardly tell whether a trajectory was
    among those given. The source answers for every trajectory, and counts as fixed: if it was
    trained on the same people's data, its answers may tell of them, and no noise here hides that.
    Choosing the best of several students by private data costs privacy too, and so do logs.

    Noise is that of torch's generator in single precision, which is neither cryptographic nor safe
    against attacks on the last bits of numbers (Mironov 2012).

    Args:
        source: A PPO agent, the name of a zoo agent, or the path of a saved one.
        trajectories: Raw observations of one trajectory each, shape (steps, *observation); see
            :func:`rltransfer.privacy.record`.
        epsilon: How much may be spent; the noise is chosen by it. Give this or the next.
        noise_multiplier: Standard deviation of the noise by ``clip``; 0 for no privacy.
        delta: Probability with which the bound may fail; far below 1 / trajectories.
        clip: Largest norm of a trajectory's gradient; ``inf`` only without noise.
        sample_rate: Probability with which a trajectory is part of a step, in (0, 1].
        steps: Steps.
        learning_rate: Of the student.
        optimizer: ``"adam"`` or ``"sgd"``.
        statistics: By which the student normalizes observations, of public states; needed if the
            source normalizes, as its own are of private ones. See
            :func:`rltransfer.privacy.public_statistics`.
        policy_kwargs: The student's architecture; the source's by default. A small network drowns
            less in noise.
        name: Name on the card; ``"SOURCE-private"`` by default.
        seed: Of weights, samples and noise. For tests: who knows it can take the noise away again.
            By default it is drawn from the system, and told to nobody.
        classes: Your own classes that the agent was built with, by name.

    Returns:
        The student. Its card says how private it is; it has no score, no optimizer state, and no
        statistics of returns.

    Raises:
        MissingExtra: Opacus is not installed.
        BadArgument: An argument is outside its range, ``statistics`` are needed, or the source is
            recurrent, masks actions, or explores by gSDE.
        SpaceMismatch: A trajectory is not what the source observes.

    Source: Abadi et al. 2016, "Deep learning with differential privacy"; distillation as in Rusu et
    al. 2016, "Policy distillation".
    """
    agent = source if isinstance(source, Agent) else load(source, classes=classes)
    of_one_task(agent, "distill_private")
    check_source(agent)
    seed = secrets.randbits(63) if seed is None else whole("seed", seed)
    learning_rate = finite("learning_rate", learning_rate)
    if learning_rate <= 0:
        raise BadArgument(f"learning_rate is {learning_rate!r}: give a number above 0")
    states = checked_trajectories(trajectories, agent)
    privacy = privacy_of(epsilon, noise_multiplier, delta, clip, sample_rate, steps, len(states))
    draws = torch.Generator().manual_seed(seed)
    student = _student(agent, policy_kwargs, classes, draws)
    normalization = public_normalization(agent, statistics)
    teacher = Teacher(
        agent.build(classes=classes).policy,
        observation_normalizer(agent.observation_space, agent.normalization),
    )
    _train(student.policy, teacher, states, normalization, privacy, learning_rate, optimizer, draws)
    card = Card(
        name=name or f"{agent.card.name}-private",
        task=agent.card.task,
        steps=0,
        source=agent.card.name,
        notes=f"Distilled with {privacy}. {_NOT_COVERED}",
    )
    taken = Agent.from_model(student, card=card, optimizer=False)
    return dataclasses.replace(taken, normalization=normalization)


def _train(
    policy: Any,
    teacher: Teacher,
    states: Sequence[np.ndarray],
    normalization: Normalization | None,
    privacy: Privacy,
    learning_rate: float,
    optimizer: str,
    draws: torch.Generator,
) -> None:
    kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    if optimizer not in kinds:
        raise BadArgument(f"optimizer is {optimizer!r:.60}: choose 'adam' or 'sgd'")
    normalize = observation_normalizer(policy.observation_space, normalization)
    seen = [torch.as_tensor(normalize(one)) for one in states]
    answers = [teacher.actions(one) for one in states]
    policy.set_training_mode(False)
    with few_threads(policy.parameters()):
        parameters = acting_parameters(policy, torch.zeros_like(seen[0][:1]))
        descent = PrivateDescent(
            parameters,
            kinds[optimizer](parameters, lr=learning_rate),
            clip=privacy.clip,
            noise=privacy.noise_multiplier * privacy.clip if privacy.noise_multiplier else 0.0,
            expected=privacy.sample_rate * len(states),
            generator=draws,
        )
        for _ in range(privacy.steps):
            drawn = torch.rand(len(states), generator=draws) < privacy.sample_rate
            rows = drawn.nonzero().flatten().tolist()
            descent.step(_loss(policy, seen[row], answers[row]) for row in rows)


def _loss(policy: Any, seen: Tensor, answers: Actions) -> Tensor:
    return kl(answers, Actions.of(policy.get_distribution(seen))).mean()


def acting_parameters(policy: Any, seen: Tensor) -> list[Tensor]:
    """Parameters on which what a policy does depends, found out on any state.

    Args:
        policy: An ``ActorCriticPolicy``.
        seen: A batch of observations, normalized.
    """
    given = [one for one in policy.parameters() if one.requires_grad]
    found = Actions.of(policy.get_distribution(seen))
    total = found.outputs.sum() + (0.0 if found.log_std is None else found.log_std.sum())
    used = torch.autograd.grad(total, given, allow_unused=True)
    return [one for one, gradient in zip(given, used, strict=True) if gradient is not None]


def _student(
    agent: Agent,
    policy_kwargs: Mapping[str, Any] | None,
    classes: Mapping[str, type] | None,
    draws: torch.Generator,
) -> Any:
    """An untrained model on the source's spaces."""
    given = agent.arguments(classes)
    if policy_kwargs is not None:
        given["policy_kwargs"] = policy_arguments(policy_kwargs)
    model = algorithm_class(agent.algorithm)(
        env=None, _init_setup_model=False, device="cpu", **given
    )
    model.observation_space, model.action_space = agent.observation_space, agent.action_space
    model.n_envs = agent.hyperparameters["n_envs"]
    with drawn_from(int(torch.randint(2**62, (), generator=draws))):
        try:
            model._setup_model()
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise BadArgument(
                f"policy_kwargs is {policy_kwargs!r:.80}: no student can be built: {error!s:.200}"
            ) from error
    return model
