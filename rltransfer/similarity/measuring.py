"""Measuring the similarity of a source and a target in every way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from rltransfer import registry
from rltransfer.agents import Agent, load
from rltransfer.agents.multitask.names import of_one_task
from rltransfer.agents.numbers import whole
from rltransfer.carry import carry_over
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.evaluation.given import trained_on
from rltransfer.evaluation.undisturbed import seeded
from rltransfer.fresh_models import closed_on_error, fresh_model
from rltransfer.presets import PRESETS
from rltransfer.probe import probe
from rltransfer.similarity.acting import Acted, act, raw_rows, source_on, teacher_of
from rltransfer.similarity.cka import linear_cka
from rltransfer.similarity.closeness import STEPS, compare_tasks
from rltransfer.similarity.gradients import cosine, fisher, fisher_cosine, policy_gradient
from rltransfer.similarity.logme import logme
from rltransfer.similarity.result import Similarity
from rltransfer.similarity.walking import first_seed
from rltransfer.training.build import pick_device
from rltransfer.training.engine import EnginePPO
from rltransfer.training.threads import few_threads


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What :func:`similarity` was asked, resolved."""

    agent: Agent
    home: str | EnvSpec
    target: str | EnvSpec
    seed: int
    steps: int
    device: str
    classes: Mapping[str, type] | None

    @property
    def name(self) -> str:
        return self.target if isinstance(self.target, str) else self.target.id


def similarity(
    source: Agent | str | Path,
    target: str | EnvSpec,
    *,
    seed: int = 0,
    steps: int = STEPS,
    device: str = "auto",
    classes: Mapping[str, type] | None = None,
) -> Similarity:
    """Measure how similar a target is to a source, before anything is transferred.

    The source's task and the target are played with the same seeds and random actions, then by the
    unchanged source, and a network is trained on the target from scratch for a moment. Measures of
    observations need equal observation spaces, those of dynamics equal action spaces too. Those of
    networks need a source that can act on the target; but for the zero-shot score they need plain
    PPO.

    Args:
        source: An agent, the name of a zoo agent, or the path of a saved one. Its card has to name
            a task that can be made.
        target: Gymnasium id, ``module:Id``, or spec.
        seed: Seed of everything; the caller's random streams are left alone.
        steps: Environment steps of each part: random play, the source's play and the brief
            training, the last rounded up to whole rollouts. The zero-shot score takes some episodes
            besides.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        classes: Your own classes that the agent was built with, by name.

    Returns:
        All measures.

    Raises:
        BadArgument: ``steps`` or ``seed`` cannot be, or nothing says what the source was
            trained on.
        UnknownName: A task does not exist.
        BadEnvironment: A task breaks its contract.
    """
    if type(steps) is not int or steps < 64:
        raise BadArgument(f"steps is {steps!r}: expected a whole number >= 64")
    seed = whole("seed", seed, least=None)
    agent = source if isinstance(source, Agent) else load(source, classes=classes)
    of_one_task(agent, "similarity")
    asked = _Asked(
        agent=agent,
        home=trained_on(agent),
        target=target,
        seed=seed,
        steps=steps,
        device=device,
        classes=classes,
    )
    chosen = torch.device(pick_device(device, agent.policy_class(classes)))
    with seeded(seed, chosen), few_threads(agent.weights.values()):
        close = compare_tasks(asked.home, target, seed=seed, steps=steps)
        found = _of_networks(asked)
    return Similarity(
        source=agent.card.name,
        target=asked.name,
        observation_auc=close.observation_auc,
        observation_mmd=close.observation_mmd,
        dynamics_gap=close.dynamics_gap,
        dynamics_fit=close.dynamics_fit,
        control_cosine=close.control,
        closeness=close.value,
        steps=close.steps + found.pop("steps", 0),
        source_steps=close.source_steps + found.pop("source_steps", 0),
        **found,
    )


def _of_networks(asked: _Asked) -> dict[str, Any]:
    """Measures that ask the source's networks, by field; empty if it cannot act on the target."""
    if _explores_otherwise(asked):
        return {}
    try:
        with _source(asked, asked.target) as model:
            probed = probe(model, asked.agent, asked.target, seed=asked.seed)
            found = {"zero_shot": probed.score, "critic_fit": probed.critic_fit}
            if not isinstance(model, EnginePPO):
                return {**found, "steps": probed.steps}
            there, gradient, information = _played(model, asked.seed)
            teacher = teacher_of(model)
            worth = logme(_critic_latent(model.policy, there), there.returns)
    except SpaceMismatch:
        return {}
    with _source(asked, asked.home) as model:
        home, other_gradient, other_information = _played(model, asked.seed)
    learner = _briefly_trained(asked)
    return {
        **found,
        "gradient_cosine": cosine(gradient, other_gradient),
        "fisher_cosine": fisher_cosine(information, other_information),
        "cka": linear_cka(teacher.latent(learner.raw).cpu().numpy(), learner.features),
        "logme": worth,
        "steps": probed.steps + len(there.returns) + learner.steps,
        "source_steps": len(home.returns),
    }


def _explores_otherwise(asked: _Asked) -> bool:
    """Whether the source explores by gSDE, which the target's actions know nothing of."""
    if not asked.agent.hyperparameters["use_sde"]:
        return False
    with closing(registry.make(asked.target)) as env:
        return not isinstance(env.action_space, spaces.Box)


@contextmanager
def _source(asked: _Asked, task: str | EnvSpec) -> Iterator[Any]:
    model = source_on(
        asked.agent,
        task,
        steps=asked.steps,
        seed=asked.seed,
        device=asked.device,
        classes=asked.classes,
    )
    try:
        yield model
    finally:
        model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]


def _played(model: Any, seed: int) -> tuple[Acted, np.ndarray, np.ndarray]:
    """One rollout, and the policy gradient and the Fisher information on it."""
    model.set_random_seed(first_seed(seed))  # the same noise in both tasks
    acted = act(model)
    model.policy.set_training_mode(False)
    seen, actions = acted.observations, acted.actions
    gradient = policy_gradient(model.policy, seen, actions, acted.advantages)
    return acted, gradient, fisher(model.policy, seen, actions)


@dataclass(frozen=True, eq=False)
class _Learner:
    """A network that was trained on the target from scratch, briefly.

    Attributes:
        raw: Observations of its last rollout, as the environments gave them.
        features: What its actor's head reads there, shape (n, width).
        steps: Environment steps that it took.
    """

    raw: Any
    features: np.ndarray
    steps: int


def _briefly_trained(asked: _Asked) -> _Learner:
    model: Any = fresh_model(
        asked.agent,
        asked.target,
        asked.agent.hyperparameters,
        seed=first_seed(asked.seed),
        device=asked.device,
        classes=asked.classes,
    )
    with closed_on_error(model.get_env()):
        carry_over(model, asked.agent, asked.target, PRESETS["scratch"])
    try:
        model.learn(asked.steps)
        raw = raw_rows(model, model.rollout_buffer.observations)
        return _Learner(raw, teacher_of(model).latent(raw).cpu().numpy(), model.num_timesteps)
    finally:
        model.get_env().close()


@torch.no_grad()
def _critic_latent(policy: Any, acted: Acted) -> np.ndarray:
    features = policy.extract_features(acted.observations, policy.vf_features_extractor)
    return policy.mlp_extractor.forward_critic(features).cpu().numpy()
