"""The model card of an agent: the README.md of its repository on the Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rltransfer.agents import text
from rltransfer.agents.card import Score
from rltransfer.agents.hub.markdown import block, code, scalar, table
from rltransfer.agents.hub.usage import with_rltransfer, with_sb3

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

_TAGS = ("reinforcement-learning", "deep-reinforcement-learning", "stable-baselines3", "rltransfer")


@dataclass(frozen=True)
class Upload:
    """What a folder for the Hub holds besides its card.

    Attributes:
        name: Name of the files, without suffix.
        repository: ``"owner/repo"`` that it is meant for, or empty.
        licence: Identifier of the licence, such as ``"mit"``, or empty.
        digests: Sha256 of each file, by name.
    """

    name: str
    repository: str
    licence: str
    digests: Mapping[str, str]


def render(agent: Agent, upload: Upload) -> str:
    """Write the card: YAML for the Hub's search, then Markdown for people."""
    sections = {
        "": _what_it_is(agent),
        "Score": _score(agent),
        "Use it with rltransfer": with_rltransfer(agent, upload.name, upload.repository),
        "Use it with Stable-Baselines3 alone": with_sb3(agent, upload.name),
        "How it was trained": _training(agent),
        "Where it comes from": _provenance(agent, upload),
    }
    parts = [f"## {head}\n\n{body}" if head else body for head, body in sections.items()]
    return "\n\n".join([_front_matter(agent, upload), *parts]) + "\n"


def _front_matter(agent: Agent, upload: Upload) -> str:
    card = agent.card
    lines = ["---", "library_name: stable-baselines3"]
    if upload.licence:
        lines.append(f"license: {scalar(upload.licence)}")
    lines += ["tags:", *(f"- {tag}" for tag in _TAGS)]
    if text.line(card.task):
        lines.append(f"- {scalar(card.task)}")
        if card.score is not None:
            lines.append(_model_index(scalar(card.name), scalar(card.task), card.score))
    return "\n".join([*lines, "---"])


def _model_index(name: str, task: str, score: Score) -> str:
    return f"""model-index:
- name: {name}
  results:
  - task:
      type: reinforcement-learning
      name: reinforcement-learning
    dataset:
      name: {task}
      type: {task}
    metrics:
    - type: mean_reward
      name: mean_reward
      value: {scalar(_interval(score))}
      verified: false"""


def _what_it_is(agent: Agent) -> str:
    card, name = agent.card, text.title(agent)
    where = f" on {code(card.task)}" if text.line(card.task) else ""
    facts = [
        ("Policy", code(agent.policy)),
        ("Observations", code(text.space(agent.observation_space))),
        ("Actions", code(text.space(agent.action_space))),
        ("Normalized by running statistics", text.normalizes(agent.normalization)),
        ("Trained for", text.trained_for(agent)),
        ("State of the optimizer", "included" if agent.optimizer is not None else "not included"),
    ]
    return (
        f"# {name}{where}\n\n"
        f"{code(card.name)} is a {name} agent{where}, made for taking further: "
        "rltransfer fine-tunes it on related tasks and measures the gain, and "
        "[Stable-Baselines3](https://stable-baselines3.readthedocs.io) loads it as it is.\n\n"
        + "\n".join(f"- {what}: {fact}" for what, fact in facts)
    )


def _score(agent: Agent) -> str:
    score = agent.card.score
    if score is None:
        return "It was not measured."
    how = "the most likely action" if score.deterministic else "sampled actions"
    seed = "" if score.seed is None else f", seed {score.seed}"
    return (
        f"**{_interval(score)}**: the mean undiscounted return of {score.episodes:,} episodes with "
        f"{how}{seed}, and the 95 % interval of that mean. Rewards are the task's own, not "
        "normalized ones."
    )


def _interval(score: Score) -> str:
    return f"{score.mean:.4g} [{score.ci_low:.4g}, {score.ci_high:.4g}]"


def _training(agent: Agent) -> str:
    card = agent.card
    parts = []
    if card.command.strip():
        parts.append(f"By this command, as its card tells:\n\n{block(card.command)}")
    settings = {**agent.hyperparameters, "policy_kwargs": json.dumps(dict(agent.policy_kwargs))}
    rows = [(code(name), code(text.hyperparameter(part))) for name, part in settings.items()]
    parts.append(table(("hyperparameter", "value"), rows))
    if card.versions:
        versions = [(code(name), code(version)) for name, version in card.versions.items()]
        parts.append(table(("package", "version"), versions))
    return "\n\n".join(parts)


def _provenance(agent: Agent, upload: Upload) -> str:
    card = agent.card
    facts = [("Made from", code(card.source) if card.source else "nothing: trained from scratch")]
    facts += [("Created", code(card.created))] if card.created else []
    facts += [("Sha256 of the agent", code(agent.sha256))]
    parts = ["\n".join(f"- {what}: {fact}" for what, fact in facts)]
    if card.notes.strip():
        parts.append(f"Notes:\n\n{block(card.notes)}")
    rows = [(code(name), code(digest)) for name, digest in upload.digests.items()]
    parts.append(table(("file", "sha256"), rows))
    return "\n\n".join(parts)
