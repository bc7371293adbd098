"""Twin multi-task policies in double precision with one rollout, and PPO's update by autograd."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from closed_form_cases import gap as gap_of_models
from gymnasium import spaces

from rltransfer.engine.multitask.closed_form import MultiTaskLearner, unsupported
from rltransfer.engine.multitask.records import MultiTaskStatistics
from rltransfer.engine.records import Rollout, Settings
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.packing import Packing
from rltransfer.policies.tasks import PolicyTask

CLASSES, CHOICES, TORQUES, BITS = range(4)


def box(size: int) -> spaces.Box:
    return spaces.Box(-3.0, 3.0, (size,), np.float32)


def four_tasks(**shared: Any) -> list[PolicyTask]:
    """Tasks of unequal spaces, one of every kind of action."""
    return [
        PolicyTask(id="classes-v0", observation_space=box(4), action_space=spaces.Discrete(3)),
        PolicyTask(
            id="choices-v0", observation_space=box(6), action_space=spaces.MultiDiscrete([2, 4])
        ),
        PolicyTask(
            id="torques-v0", observation_space=box(2), action_space=box(2), log_std=-0.3, **shared
        ),
        PolicyTask(
            id="bits-v0",
            observation_space=spaces.MultiBinary(5),
            action_space=spaces.MultiBinary(3),
        ),
    ]


def sharing_tasks() -> list[PolicyTask]:
    """Tasks that share encoders and heads, neighbours and others."""
    spaces_of = {"observation_space": box(3), "action_space": box(2)}
    return [
        PolicyTask(id="a-v0", encoder="e", head="h", **spaces_of),
        PolicyTask(id="b-v0", encoder="e", head="g", **spaces_of),
        PolicyTask(id="c-v0", encoder="f", head="h", **spaces_of),
        PolicyTask(id="d-v0", encoder="e", head="h", **spaces_of),
    ]


def made(tasks: Sequence[PolicyTask] | None = None, **options: Any) -> MultiTaskPolicy:
    """A policy in double precision whose outputs are far from 0."""
    torch.manual_seed(0)
    tasks = four_tasks() if tasks is None else tasks
    packing = Packing(tasks)
    given = {"width": 7, "trunk_kwargs": {"sizes": [6, 5]}, **options}
    policy = MultiTaskPolicy(
        packing.observation_space, packing.action_space, lambda _: 0.01, tasks=tasks, **given
    )
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for number, head in enumerate(policy.value_heads.values()):
            head.mean.fill_(number - 1.0)
            head.mean_square.fill_((number - 1.0) ** 2 + 0.5 + number)
        for one in policy.observation_stats.values():
            one.mean.normal_()
            one.var.uniform_(0.01, 2)
    return policy.double()


def twins(*args: Any, **options: Any) -> tuple[MultiTaskPolicy, MultiTaskPolicy]:
    return made(*args, **options), made(*args, **options)


def observations_of(policy: MultiTaskPolicy, tasks: np.ndarray, seed: int = 0) -> np.ndarray:
    """Packed observations; whatever lies behind a task's own numbers must not matter."""
    generator = np.random.default_rng(seed)
    size = (len(tasks), policy.packing.width)
    return np.column_stack([tasks, generator.normal(size=size)[:, 1:]]).astype(np.float32)


class Case:
    """A rollout of 48 rows.

    Args:
        policy: Acts.
        among: Tasks that it has.
        in_order: Whether the rows of each minibatch are sorted by task.
    """

    ROWS = 48

    def __init__(
        self, policy: MultiTaskPolicy, among: Sequence[int] = (0, 1, 2, 3), seed: int = 0
    ) -> None:
        generator = np.random.default_rng(seed)
        # Every 12 rows hold each task, in unequal numbers.
        tasks = np.tile(np.resize([*among, among[0], among[-1], among[0]], 12), 4)
        self.observations = observations_of(policy, tasks, seed)
        torch.manual_seed(seed)
        with torch.no_grad():
            given = torch.from_numpy(self.observations).double()
            self.actions, _, log_prob = policy(given)
            values, *_ = policy.evaluate_normalized(given, self.actions)
        noise = generator.normal(size=(4, self.ROWS))
        self.old_log_prob = log_prob.numpy() + 0.2 * noise[0]
        self.old_values = values.numpy() + 0.2 * noise[1]
        self.advantages, self.returns = noise[2], values.numpy() + noise[3]
        # Whole stretches of 12 rows change places, and the rows within each.
        self.orders = [
            np.concatenate([i * 12 + generator.permutation(12) for i in generator.permutation(4)])
            for _ in range(9)
        ]

    def rollout(self) -> Rollout:
        orders = iter(self.orders)
        return Rollout(
            actions=self.actions.numpy(),
            old_log_prob=self.old_log_prob,
            old_values=self.old_values,
            advantages=self.advantages,
            returns=self.returns,
            permutation=lambda: next(orders),
        )


def settings(**changes: Any) -> Settings:
    given: dict[str, Any] = {
        "batch_size": 12,
        "n_epochs": 3,
        "clip_range": 0.2,
        "clip_range_vf": None,
        "normalize_advantage": False,
        "ent_coef": 0.05,
        "vf_coef": 0.4,
        "max_grad_norm": 0.5,
        "target_kl": None,
        "learning_rate": 0.01,
        **changes,
    }
    return Settings(**given)


def update(
    policy: MultiTaskPolicy, case: Case, *, compiled: bool, **changes: Any
) -> MultiTaskStatistics:
    """Update in closed form."""
    assert unsupported(policy, policy.optimizer) is None
    learner = MultiTaskLearner(policy, policy.optimizer, compiled=compiled)
    return learner.train(case.observations, case.rollout(), settings(**changes))


def torch_update(
    policy: MultiTaskPolicy, case: Case, **changes: Any
) -> list[dict[str, np.ndarray]]:
    """Update by autograd; give the terms of the loss of each row of each minibatch.

    Args:
        policy: Is updated.
        case: Holds the rollout.
        changes: Of the settings.
    """
    given, optimizer, found = settings(**changes), policy.optimizer, []
    for order in case.orders[: given.n_epochs]:
        for start in range(0, len(order), given.batch_size):
            rows = order[start : start + given.batch_size]
            loss, terms = _loss(policy, case, rows, given)
            found.append(terms)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), given.max_grad_norm)
            optimizer.step()
    return found


def _loss(policy: MultiTaskPolicy, case: Case, rows: np.ndarray, given: Settings) -> Any:
    def of(numbers: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(numbers[rows])

    values, log_prob, entropy = policy.evaluate_normalized(
        of(case.observations).double(), case.actions[rows]
    )
    advantages, old_values = of(case.advantages), of(case.old_values)
    if given.normalize_advantage:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    log_ratio = log_prob - of(case.old_log_prob)
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - given.clip_range, 1 + given.clip_range)
    if given.clip_range_vf is not None:
        change = (values - old_values).clamp(-given.clip_range_vf, given.clip_range_vf)
        values = old_values + change
    terms = {
        "policy_loss": -torch.min(advantages * ratio, advantages * clipped),
        "value_loss": (values - of(case.returns)) ** 2,
        "entropy_loss": -entropy,
        "approx_kl": ratio - 1 - log_ratio,
        "clip_fraction": ((ratio - 1).abs() > given.clip_range).double(),
    }
    loss = terms["policy_loss"] + given.ent_coef * terms["entropy_loss"]
    loss = (loss + given.vf_coef * terms["value_loss"]).mean()
    tasks = {"task": case.observations[rows, 0]}
    return loss, {name: term.detach().numpy() for name, term in terms.items()} | tasks


def gap(ours: MultiTaskPolicy, theirs: MultiTaskPolicy) -> float:
    """Largest difference of weights and moments; infinite where only one of two has any."""
    return gap_of_models(SimpleNamespace(policy=ours), SimpleNamespace(policy=theirs))


def freeze(policy: MultiTaskPolicy, *prefixes: str) -> None:
    """Freeze the parameters whose names begin so."""
    for name, parameter in policy.named_parameters():
        parameter.requires_grad_(not name.startswith(prefixes))


def snapshot(policy: MultiTaskPolicy, *prefixes: str) -> dict[str, Any]:
    """Copies of weights and moments of the parameters whose names begin so."""
    return {
        name: copy.deepcopy((parameter.detach(), policy.optimizer.state.get(parameter, {})))
        for name, parameter in policy.named_parameters()
        if name.startswith(prefixes)
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two snapshots agree in every bit, and hold anything."""
    return bool(one) and all(
        torch.equal(weights, other[name][0])
        and moments.keys() == other[name][1].keys()
        and all(torch.equal(value, other[name][1][key]) for key, value in moments.items())
        for name, (weights, moments) in one.items()
    )
