"""Code that uses an agent of the Hub, for its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rltransfer.agents import text
from rltransfer.agents.hub.markdown import block, code
from rltransfer.agents.hub.reference import PREFIX

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

_MODULES = {
    "ppo": ("stable_baselines3", "stable_baselines3.common.evaluation"),
    "maskable_ppo": ("sb3_contrib", "sb3_contrib.common.maskable.evaluation"),
    "recurrent_ppo": ("sb3_contrib", "stable_baselines3.common.evaluation"),
}


# No index of packages is named: a package that is called so there need not be this one.
_INSTALL = (
    "Install rltransfer from its source tree, with the extra for agents of the Hub: "
    "`pip install '.[hub]'`. A task of Box2D, MuJoCo or MiniGrid needs `box2d`, `mujoco` or "
    "`minigrid` too, as in `'.[hub,mujoco]'`."
)


def with_rltransfer(agent: Agent, name: str, repository: str) -> str:
    """How to load, score and fine-tune it with rltransfer.

    Args:
        agent: The agent.
        name: Name of its files, without suffix.
        repository: ``"owner/repo"`` on the Hub, or empty.
    """
    task = agent.card.task
    where = f"{PREFIX}{repository}" if repository else f"./{name}"
    own = sorted(set(_own_classes([{"$class": agent.policy}, agent.policy_kwargs])))
    given = f", classes={{{', '.join(f'{c!r}: ...' for c in own)}}}" if own else ""
    lines = ["import rltransfer as rlt", "", f"agent = rlt.load({where!r}{given})", "print(agent)"]
    if task:
        lines += [
            f"print(rlt.evaluate(agent, {task!r}, episodes=20))",
            f"model = rlt.adapt(agent, {task!r})  # or a related task",
            "model.learn(20_000)",
        ]
    program = block(chr(10).join(lines), "python")
    return f"{_INSTALL}\n\n{program}\n\n{_remarks(name, repository, own)}"


def with_sb3(agent: Agent, name: str) -> str:
    """How to load it without rltransfer.

    Args:
        agent: The agent.
        name: Name of its files, without suffix.
    """
    package, evaluation = _MODULES[agent.algorithm]
    kind, task = text.title(agent), agent.card.task
    normalized = agent.normalization is not None
    lines = [f"from {package} import {kind}"]
    if not task:
        lines += _without_task(name, kind, normalized)
    else:
        lines += [
            "from stable_baselines3.common.env_util import make_vec_env",
            f"from {evaluation} import evaluate_policy",
            *(["from stable_baselines3.common.vec_env import VecNormalize"] if normalized else []),
            *(["import rltransfer  # registers the task"] if task.startswith("rlt/") else []),
            "",
            f"env = make_vec_env({task!r})",
            *(_normalizing(name) if normalized else []),
            # Not with env=env: SB3 refuses an environment whose bounds have changed since, such as
            # to infinity from the largest number, though the policy does not depend on them.
            f"model = {kind}.load({f'{name}.zip'!r})",
            "print(evaluate_policy(model, env, n_eval_episodes=20))",
        ]
    return (
        f"{block(chr(10).join(lines), 'python')}\n\n"
        "Unlike `rlt.load`, these calls unpickle, which runs whatever a file holds: compare the "
        "sha256 of the files with those below first."
    )


def _without_task(name: str, kind: str, normalized: bool) -> list[str]:
    """Load the agent without an environment; nobody knows which one."""
    lines = [
        *(["import pickle"] if normalized else []),
        "",
        f"model = {kind}.load({f'{name}.zip'!r})",
        "observation = model.observation_space.sample()  # or one of your environment",
    ]
    if normalized:
        lines += [
            f"with open({f'{name}.vecnormalize.pkl'!r}, 'rb') as file:",
            "    statistics = pickle.load(file)",
            "observation = statistics.normalize_obs(observation)  # as in its training",
        ]
    return [*lines, "print(model.predict(observation, deterministic=True))"]


def _normalizing(name: str) -> list[str]:
    return [
        f"env = VecNormalize.load({f'{name}.vecnormalize.pkl'!r}, env)",
        "env.training = env.norm_reward = False  # fixed statistics, rewards of the task",
    ]


def _remarks(name: str, repository: str, own: list[str]) -> str:
    text = "Nothing in the files is executed. "
    if repository:
        text += "The commit and the sha256 of each file go to `rltransfer.lock.json`."
    else:
        text += f"From the Hub, write `hub:owner/repo` in place of {code(f'./{name}')}."
    if own:
        text += " Its policy needs classes of its author, which files may not bring along: pass "
        text += f"{', '.join(map(code, own))} as `classes`."
    return text


def _own_classes(value: Any) -> Iterator[str]:
    """Names of the user's classes among policy arguments; theirs alone have a colon."""
    if isinstance(value, Mapping):
        tag = value.get("$class")
        if isinstance(tag, str) and ":" in tag:
            yield tag
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _own_classes(part)
