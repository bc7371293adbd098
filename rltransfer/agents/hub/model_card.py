"""The model card of an agent: the README.md of its repository on the Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rltransfer.agents import text
from rltransfer.agents.card import Score
from rltransfer.agents.hub.markdown import block, code, scalar, table
from rltransfer.agents.hub.usage import with_rltransfer, with_sb3
from rltransfer.agents.origin import Origin, imported, made_from, public_command

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
    lines = ["---", "library_name: stable-baselines3", "pipeline_tag: reinforcement-learning"]
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
      value: {_number(score.mean)}
      args:
        episodes: {score.episodes}
        deterministic: {str(score.deterministic).lower()}
        ci_low: {_number(score.ci_low)}
        ci_high: {_number(score.ci_high)}
      verified: false"""


def _what_it_is(agent: Agent) -> str:
    card, name, origin = agent.card, text.trainer(agent), imported(agent.card)
    old = origin.task if origin else ""
    where = f" on {code(old or card.task)}" if text.line(old or card.task) else ""
    today = f" ({code(card.task)} today)" if old and text.line(card.task) else ""
    as_what = "as it is" if name == text.title(agent) else f"as {text.title(agent)}"
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
        f"{code(card.name)} is {_article(name)} {name} agent{where}{today}, made for taking "
        "further: rltransfer fine-tunes it on related tasks and measures the gain, and "
        f"[Stable-Baselines3](https://stable-baselines3.readthedocs.io) loads it {as_what}.\n\n"
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


def _number(value: float) -> str:
    """A number as every reader of YAML understands it: without an exponent."""
    return np.format_float_positional(float(f"{value:.6g}"), trim="0")


def _article(name: str) -> str:
    return "an" if name == "A2C" else "a"


def _training(agent: Agent) -> str:
    card, origin = agent.card, imported(agent.card)
    parts = [_imported(agent, origin)] if origin else []
    if card.command.strip() and not origin:
        parts.append(f"By this command, as its card tells:\n\n{block(card.command)}")
    settings = {**agent.hyperparameters, "policy_kwargs": json.dumps(dict(agent.policy_kwargs))}
    functions = origin.functions if origin else ()
    rows = [
        (
            code(name),
            code(text.hyperparameter(part))
            + (" in place of a function" if name in functions else ""),
        )
        for name, part in settings.items()
    ]
    parts.append(table((text.FINE_TUNING if origin else "hyperparameter", "value"), rows))
    if card.versions:
        versions = [(code(name), code(version)) for name, version in card.versions.items()]
        parts.append(table(("package", "version"), versions))
    return "\n\n".join(parts)


def _imported(agent: Agent, origin: Origin) -> str:
    """Tell an import from a training, and its settings from those that trained the agent."""
    version = f" {code(origin.version)}" if origin.version else ""
    by = f"By {origin.trained_by}" if origin.trained_by else "By an algorithm"
    parts = [f"{by} of Stable-Baselines3{version}; by which command is not known."]
    command = public_command(agent.card)
    if command:
        parts.append(f"Imported into rltransfer by this one:\n\n{block(command)}")
    if text.trainer(agent) != text.title(agent):
        caution = "They did not train it: only what means the same to both algorithms is kept."
    else:
        caution = "What its zip does not tell is a default, and need not be what trained it."
    kind = text.title(agent)
    parts.append(f"Fine-tuning by {kind} starts from the settings below. {caution}")
    return "\n\n".join(parts)


def _provenance(agent: Agent, upload: Upload) -> str:
    card = agent.card
    facts = [("Made from", code(card.source) if card.source else made_from(card))]
    facts += [("Created", code(card.created))] if card.created else []
    facts += [("Sha256 of the agent", code(agent.sha256))]
    parts = ["\n".join(f"- {what}: {fact}" for what, fact in facts)]
    if card.notes.strip():
        parts.append(f"Notes:\n\n{block(card.notes)}")
    rows = [(code(name), code(digest)) for name, digest in upload.digests.items()]
    parts.append(table(("file", "sha256"), rows))
    return "\n\n".join(parts)
