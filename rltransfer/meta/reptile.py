"""Reptile on PPO: a start from which a few updates suffice on any task of a family."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize

from rltransfer.agents import Agent, Card
from rltransfer.agents.numbers import check_steps
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.multitask.tasks import check_ids
from rltransfer.normalizing import normalization_of, normalize
from rltransfer.pretrain import fresh, versions
from rltransfer.training.ppo import TransferMixin
from rltransfer.vec import Vec, make_vec

Weights = Mapping[str, torch.Tensor]


def reptile(
    tasks: Sequence[str],
    steps: int,
    *,
    updates: int = 3,
    epsilon: float = 0.5,
    n_envs: int = 8,
    vec: Vec = "auto",
    seed: int = 0,
    name: str | None = None,
    command: str = "",
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Agent:
    """Meta-train the start of fine-tuning on a family of tasks.

    Each iteration draws a task, takes a few PPO updates on it from the weights ``theta``, which
    lead to ``theta'``, and moves ``theta`` by ``epsilon (theta' - theta)`` (Nichol et al. 2018,
    algorithm 1); ``epsilon`` falls linearly to 0. With ``epsilon`` 1 and one update this is
    training on all tasks in turn. Adam's moments are fresh in each iteration, as they will be in
    fine-tuning; schedules of hyperparameters span one iteration. With ``normalize_obs`` all
    tasks share one set of running statistics: what the weights mean depends on them.

    Args:
        tasks: Gymnasium ids with equal spaces; one is enough where its parameters are randomized.
        steps: Environment steps of all tasks together; rounded up to whole iterations.
        updates: Rollouts, each followed by an update, of one iteration; at least 1.
        epsilon: First step of the weights, in (0, 1].
        n_envs: Parallel environments.
        vec: How they are stepped; see :func:`rltransfer.vec.make_vec`.
        seed: Seed of weights, actions, environments and of the order of tasks.
        name: Name on the card; made from the tasks by default.
        command: Command line to put on the card.
        progress: Called with (steps done, steps in all) after every iteration.
        **options: As for :func:`rltransfer.pretrain`: ``policy``, ``policy_kwargs``,
            ``normalize_obs``, ``normalize_reward``, ``device``, and PPO's hyperparameters.

    Returns:
        The start: an agent for ``adapt`` or ``finetune``, without a score, as it is not meant to
        be used as it is.

    Raises:
        BadArgument: An argument is out of range.
        UnknownName: A task or an option does not exist.
        SpaceMismatch: The spaces of the tasks differ.
        Diverged: A loss, gradient or weight is not finite.
    """
    ids = check_ids(tasks)
    check_steps(steps)
    _check(updates, epsilon, options)
    model = fresh(ids[0], n_envs=n_envs, vec=vec, seed=seed, **options)
    with _environments(ids, model, n_envs, vec, seed) as envs:
        inner = updates * model.n_steps * n_envs
        count = -(-int(steps) // inner)
        order = np.random.default_rng(seed).integers(len(ids), size=count)
        for done, index in enumerate(order):
            model.set_env(envs[index])
            meta_step(model, inner, epsilon * (1 - done / count))
            if progress:
                progress((done + 1) * inner, count * inner)
        card = Card(
            name=name or f"reptile-{ids[0].rpartition('/')[2]}",
            task=", ".join(ids),
            steps=count * inner,
            seed=seed,
            command=command,
            versions=versions(),
            created=datetime.now(UTC).date().isoformat(),
            notes=f"a start by Reptile: epsilon {epsilon:g}, {updates} update(s) an iteration",
        )
        return Agent.from_model(model, card=card, optimizer=False)


def meta_step(model: TransferMixin, steps: int, epsilon: float) -> None:
    """Train for some steps with fresh moments, and keep a part of the way that the weights went.

    Args:
        model: The model. Its weights are changed in place.
        steps: Environment steps of the inner training.
        epsilon: The part, from 0 for none to 1 for all of it.
    """
    before = _weights(model)
    model.policy.optimizer.state.clear()
    model.learn(steps)
    after = _weights(model)
    model.policy.load_state_dict(between(before, after, epsilon))


def between(before: Weights, after: Weights, epsilon: float) -> dict[str, torch.Tensor]:
    """Weights on the line from one point to another; whole numbers, such as counters, are new.

    Args:
        before: Weights by name.
        after: Weights by the same names.
        epsilon: 0 for ``before``, 1 for ``after``, exactly.
    """
    return {
        name: torch.lerp(old, after[name], epsilon) if old.is_floating_point() else after[name]
        for name, old in before.items()
    }


def _weights(model: TransferMixin) -> dict[str, torch.Tensor]:
    return {name: one.clone() for name, one in model.policy.state_dict().items()}


@contextmanager
def _environments(
    ids: Sequence[str], model: TransferMixin, n_envs: int, vec: Vec, seed: int
) -> Iterator[list[VecEnv]]:
    """Environments of all tasks; the model's own are those of the first."""
    first: Any = model.get_env()
    made: list[VecEnv] = [first]
    try:
        for number, id in enumerate(ids[1:], start=1):
            # The seeds of each task are its own: alike, they would begin with the same states.
            made.append(make_vec(id, n_envs, seed=seed + number * n_envs, vec=vec))
            _require_equal(made[-1], first, id, ids[0])
            made[-1] = _share_statistics(made[-1], first)
        yield made
    finally:
        for venv in made:
            venv.close()


def _share_statistics(venv: VecEnv, first: VecEnv) -> VecEnv:
    """Normalize as the first environments do, by the very same statistics."""
    own = unwrap_vec_normalize(first)
    if own is None:
        return venv
    shared: Any = normalize(venv, normalization_of(first), training=True)
    shared.ret_rms = own.ret_rms
    if own.norm_obs:
        shared.obs_rms = own.obs_rms
    return shared


def _require_equal(venv: VecEnv, first: VecEnv, id: str, first_id: str) -> None:
    seen, known = venv.observation_space, first.observation_space
    if seen != known:
        what, one, other = "observations", seen, known
    elif venv.action_space != first.action_space:
        what, one, other = "actions", venv.action_space, first.action_space
    else:
        return
    raise SpaceMismatch(
        f"{id} has {what} {one}, {first_id} has {other}: Reptile needs equal spaces; adapters can"
        " make them so, and rltransfer.multitask learns tasks with others"
    )


def _check(updates: Any, epsilon: Any, options: Mapping[str, Any]) -> None:
    if type(updates) is not int or updates < 1:
        raise BadArgument(f"updates is {updates!r}: give a whole number, at least 1")
    if not isinstance(epsilon, int | float) or not 0 < epsilon <= 1:
        raise BadArgument(f"epsilon is {epsilon!r}: give a number in (0, 1]")
    if "tensorboard_log" in options:
        raise BadArgument("reptile writes no TensorBoard events: leave tensorboard_log out")
