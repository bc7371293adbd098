"""Putting a source into the environments in which a learner gathers experience."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from rltransfer.agents import Agent
from rltransfer.errors import RecipeError
from rltransfer.methods import JumpStart, Shaping
from rltransfer.normalizing import reward_unit
from rltransfer.recipe import Recipe
from rltransfer.teaching import teacher_on
from rltransfer.training.engine import EnginePPO
from rltransfer.training.guides import Act, Guide, Horizon, ShapedVecEnv, require_finite
from rltransfer.vec import Vec
from rltransfer.vec.observations import batch_of_one


def vec_for(recipe: Recipe, vec: Vec) -> Vec:
    """Choose how the training environments of a recipe are stepped.

    Args:
        recipe: The recipe.
        vec: What was asked for.

    Raises:
        RecipeError: A source cannot begin episodes in environments of that kind.
    """
    if _one_of(recipe, JumpStart) is None:
        return vec
    if vec not in ("auto", "sync"):
        raise RecipeError(
            f"vec is {vec!r}, but JumpStart() lets the source play within the reset of each "
            "environment, which takes environments that are stepped in turn: use vec='sync'"
        )
    return "sync"


def check_guides(model: Any, recipe: Recipe) -> None:
    """Refuse learners that a source cannot guide.

    Raises:
        RecipeError: The recipe guides, and the learner is recurrent or needs action masks.
    """
    names = [type(one).__name__ for one in recipe.methods if one.role == "guide"]
    if names and not isinstance(model, EnginePPO):
        raise RecipeError(
            f"{names[0]} asks the source about single states, and a {type(model).__name__} needs "
            "memory or masks of actions besides: drop it from the recipe"
        )


def shape(model: Any, agent: Agent, recipe: Recipe) -> None:
    """Shape the rewards of a model's environments, which are not normalized yet, if it is asked.

    Raises:
        RecipeError: The source's critic does not fit, or the scale of its values is unknown.
    """
    method = _one_of(recipe, Shaping)
    if method is None:
        return
    teacher = teacher_on(model, agent, recipe, acts=False)
    factor = method.scale * reward_unit(agent.normalization)

    def potential(observations: Any) -> np.ndarray:
        return factor * teacher.values(observations).cpu().numpy()

    model.set_env(ShapedVecEnv(model.get_env(), potential, model.gamma))


def guide_of(model: Any, agent: Agent, recipe: Recipe) -> tuple[Guide | None, int]:
    """Let a source begin the episodes of a model's environments, if it is asked.

    Args:
        model: The model on the target, with environments that are stepped in turn.
        agent: The source.
        recipe: The recipe.

    Returns:
        The guide, and the environment steps that it took to measure how long the source plays.

    Raises:
        RecipeError: The source cannot act on the target.
    """
    method = _one_of(recipe, JumpStart)
    if method is None:
        return None, 0
    teacher = teacher_on(model, agent, recipe)

    def act(observation: Any) -> Any:
        return teacher.best(batch_of_one(observation))[0]

    venv, rollout = model.get_env().unwrapped, model.n_steps * model.n_envs
    longest, steps = method.horizon, 0
    if longest is None:
        longest, steps = episode_length(act, venv.envs[0], venv._seeds[0], rollout)
    most = round(rollout * method.share / (1 - method.share))
    guide = Guide(act, Horizon(method, longest), most)
    guide.surround(venv)
    return guide, steps


def episode_length(act: Act, env: gym.Env, seed: int | None, most: int) -> tuple[int, int]:
    """Measure how long the episodes of a source are.

    Args:
        act: What it does.
        env: An environment of the target.
        seed: For its first reset.
        most: Steps to take; the episode under way then does not count, unless it is the only one.

    Returns:
        Mean length of the episodes, and the environment steps that this took.

    Raises:
        BadEnvironment: An observation or reward is NaN or infinite.
    """
    lengths, length = [], 0
    observation, _ = env.reset(seed=seed)
    require_finite(env, 0, 0, None, observation)
    for _ in range(most):
        action, length = act(observation), length + 1
        observation, reward, terminated, truncated, _ = env.step(action)
        require_finite(env, 0, length, action, observation, reward)
        if terminated or truncated:
            lengths.append(length)
            observation, length = env.reset()[0], 0
            require_finite(env, 0, 0, None, observation)
    return round(np.mean(lengths or [length])), most


def _one_of(recipe: Recipe, kind: type[Any]) -> Any:
    return next((one for one in recipe.methods if isinstance(one, kind)), None)
