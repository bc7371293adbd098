"""Building models that learn many tasks at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.layers import layer_groups
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.tasks import PolicyTask
from rltransfer.recipe import Recipe
from rltransfer.training.build import build_model
from rltransfer.training.multitask import MultiTaskPPO
from rltransfer.training.ppo import Transfer
from rltransfer.training.schedule import GroupScheduler, plan_groups
from rltransfer.vec import MultiTaskVecEnv, Vec, make_vec, task_of


def fresh_multitask(tasks, *, n_envs=8, vec="auto", seed=None, device="cpu", policy_kwargs=None, task_options=None, options=None, tensorboard_log=None, **hyperparameters):
    given = task_options or {}
    described = []
    for id in tasks:
        venv = make_vec(id, 1)
        described.append(task_of(id, venv, **given.get(id, {})))
        venv.close()
    env = MultiTaskVecEnv(described, [n_envs] * len(tasks), lambda t, n, s: make_vec(described[t].id, n, seed=s, vec=vec))
    env.seed(seed)
    model = build_model("ppo", MultiTaskPolicy, env, policy_kwargs={"tasks": described, **(policy_kwargs or {})}, hyperparameters=hyperparameters, seed=seed, device=device, tensorboard_log=tensorboard_log, kind=MultiTaskPPO)
    groups = layer_groups(model.policy)
    model.transfer = Transfer(scheduler=GroupScheduler(model.policy, groups, plan_groups(groups, Recipe())))
    if options: model.multitask_options = options
    return model
