"""Training an agent from scratch: sources for transfer, and references to compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gymnasium.envs.registration import EnvSpec
from sb3_contrib.common.maskable.utils import is_masking_supported
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from rltransfer.agents import Agent, Card, Normalization
from rltransfer.agents.numbers import check_steps, whole
from rltransfer.callbacks import Progress
from rltransfer.errors import BadArgument
from rltransfer.evaluate import Evaluator, evaluate
from rltransfer.layers import layer_groups
from rltransfer.recipe import Recipe
from rltransfer.registry import id_of
from rltransfer.training.build import build_model
from rltransfer.training.ppo import TransferMixin
from rltransfer.training.schedule import GroupScheduler, plan_groups
from rltransfer.training.threads import few_threads
from rltransfer.training.transfer_state import Transfer
from rltransfer.vec import Vec, make_vec, normalize

PACKAGES = ("rltransfer", "stable-baselines3", "sb3-contrib", "gymnasium", "torch", "numpy")
CARD_EPISODES = 100
# Environment steps of a rollout, from all environments together.
ROLLOUT = 2_048


def versions() -> dict[str, str]:
    """Versions of the packages that a result depends on, by package name."""
    return {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # A source tree that is used without having been installed.
        return "not installed"


def fresh(
    task: str | EnvSpec,
    *,
    algorithm: str = "ppo",
    policy: str | None = None,
    policy_kwargs: Mapping[str, Any] | None = None,
    normalize_obs: bool = False,
    normalize_reward: bool = False,
    n_envs: int = 8,
    vec: Vec = "auto",
    seed: int | None = None,
    device: str = "auto",
    tensorboard_log: str | None = None,
    **hyperparameters: Any,
) -> TransferMixin:
    """Build an untrained model on a task.

    Args:
        task: Gymnasium id, ``module:Id``, or spec.
        algorithm: ``"ppo"``, ``"maskable_ppo"`` or ``"recurrent_ppo"``.
        policy: Policy name; None chooses an MLP, a CNN or a multi-input policy by the observations.
        policy_kwargs: Keyword arguments of the policy, such as ``{"net_arch": [64, 64]}``.
        normalize_obs: Normalize observations by running statistics.
        normalize_reward: Scale rewards by the running standard deviation of returns.
        n_envs: Parallel environments. Unless ``n_steps`` is given, a rollout takes 2,048 steps from
            all of them together (SB3's 2,048 are for one, and would be 16,384 from eight).
        vec: How they are stepped: ``"auto"``, ``"native"``, ``"sync"``, ``"subproc"`` or
            ``"envpool"``; see :func:`rltransfer.vec.make_vec`.
        seed: Seed of weights, actions and environments.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        tensorboard_log: Folder for TensorBoard.
        **hyperparameters: PPO's hyperparameters; SB3's defaults otherwise.

    Raises:
        BadArgument: An option is out of range, or does not fit the task.
        UnknownName: The task, the algorithm or a hyperparameter does not exist.
    """
    n_envs, seed = whole("n_envs", n_envs, least=1), None if seed is None else whole("seed", seed)
    venv = make_vec(task, n_envs, seed=seed, vec=vec)
    if algorithm != "recurrent_ppo":  # whose default is small already
        hyperparameters.setdefault("n_steps", max(ROLLOUT // n_envs, 2))
    try:
        if algorithm == "maskable_ppo" and not is_masking_supported(venv):
            raise BadArgument(
                f"{id_of(task)} has no method action_masks(), which "
                "maskable_ppo asks for the valid actions: add it, or use ppo"
            )
        if normalize_obs or normalize_reward:
            gamma = hyperparameters.get("gamma", 0.99)
            spec = Normalization(obs=normalize_obs, reward=normalize_reward, gamma=gamma)
            venv = normalize(venv, spec, training=True)
        model = build_model(
            algorithm,
            policy or _policy_for(venv, recurrent=algorithm == "recurrent_ppo"),
            venv,
            policy_kwargs=policy_kwargs or {},
            hyperparameters=hyperparameters,
            seed=seed,
            device=device,
            tensorboard_log=tensorboard_log,
        )
    except BaseException:
        venv.close()
        raise
    groups = layer_groups(model.policy)
    scheduler = GroupScheduler(model.policy, groups, plan_groups(groups, Recipe()))
    model.transfer = Transfer(scheduler=scheduler)
    return model


def pretrain(
    task: str | EnvSpec,
    steps: int,
    *,
    name: str | None = None,
    seed: int = 0,
    command: str = "",
    progress: Callable[[int, int], None] | None = None,
    episodes: int = CARD_EPISODES,
    max_steps: int | None = None,
    **options: Any,
) -> Agent:
    """Train an agent from scratch and score it.

    Args:
        task: Gymnasium id, ``module:Id``, or spec.
        steps: Environment steps, at least 1; rounded up to whole rollouts, as SB3 does.
        name: Name on the card; made from the task by default.
        seed: Seed of the whole run.
        command: Command line to put on the card.
        progress: Called with (steps done, steps in all) after every rollout.
        episodes: Held-out episodes for the score on the card, at least 2.
        max_steps: Steps after which such an episode ends at the latest; needed where the task has
            no time limit of its own.
        **options: Passed to :func:`fresh`.

    Returns:
        The agent, with its score on the card.

    Raises:
        BadArgument: ``steps``, ``episodes`` or an option is out of range.
    """
    check_steps(steps)
    if isinstance(task, list | tuple):
        raise BadArgument(
            f"pretrain takes one task: rltransfer.multitask learns {len(task)} at once"
        )
    # Whatever would refuse to score the agent does so now, not after the training.
    _check_episodes(episodes)
    Evaluator(task, episodes=1, max_steps=max_steps).close()
    model = fresh(task, seed=seed, **options)
    try:
        model.learn(int(steps), callback=Progress(progress) if progress else None)
        return as_agent(
            model,
            task=task,
            name=name,
            seed=seed,
            command=command,
            episodes=episodes,
            max_steps=max_steps,
        )
    finally:
        model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]


def as_agent(
    model: TransferMixin,
    *,
    task: str | EnvSpec,
    name: str | None = None,
    seed: int | None = None,
    command: str = "",
    episodes: int = CARD_EPISODES,
    source: str = "",
    max_steps: int | None = None,
) -> Agent:
    """Score a trained model on held-out episodes and make it an agent with a card.

    Args:
        model: The model.
        task: Gymnasium id, ``module:Id``, or spec.
        name: Name on the card; made from the task by default.
        seed: Seed of the training, for the card.
        command: Command line, for the card.
        episodes: Held-out episodes, at least 2.
        source: Agent that it was made from; empty if it started from scratch.
        max_steps: As for :func:`pretrain`.

    Raises:
        BadArgument: ``episodes`` or ``max_steps`` is out of range.
    """
    _check_episodes(episodes)
    id = id_of(task)
    with few_threads(model.policy.parameters()):
        result = evaluate(model, task, episodes=episodes, max_steps=max_steps)
    card = Card(
        name=name or id.rpartition(":")[2].rpartition("/")[2],
        task=id,
        steps=model.num_timesteps,
        seed=seed,
        score=result.score,
        command=command,
        versions=versions(),
        created=datetime.now(UTC).date().isoformat(),
        source=source,
    )
    return Agent.from_model(model, card=card)


def _policy_for(venv: VecEnv, *, recurrent: bool) -> str:
    kind = "Mlp"
    if hasattr(venv.observation_space, "spaces"):
        kind = "MultiInput"
    elif is_image_space(venv.observation_space):
        kind = "Cnn"
    return f"{kind}LstmPolicy" if recurrent else f"{kind}Policy"


def _check_episodes(episodes: int) -> None:
    if whole("episodes", episodes, least=None) < 2:
        raise BadArgument(
            f"episodes is {episodes!r}: expected a whole number >= 2, as one has no interval"
        )
