"""Where an agent of Stable-Baselines3 comes from, and what else its zip holds."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from rltransfer.agents.card import Card
from rltransfer.agents.hyperparameters import NAMES
from rltransfer.agents.inert import scalar
from rltransfer.agents.normalization import Normalization
from rltransfer.agents.sb3 import surroundings
from rltransfer.agents.sb3.container import Container
from rltransfer.agents.sb3.own_classes import OwnClasses
from rltransfer.agents.sb3.report import Ledger, printable
from rltransfer.errors import BadCheckpoint

#: Entries that some version writes, and that belong to the training rather than to the agent.
_OF_TRAINING = frozenset(
    {
        *("verbose", "action_noise", "start_time", "tensorboard_log", "lr_schedule", "eval_env"),
        *("_total_timesteps", "_num_timesteps_at_start", "_last_obs", "_last_dones"),
        *("_last_episode_starts", "_last_original_obs", "_last_lstm_states", "_episode_num"),
        *("_current_progress_remaining", "_stats_window_size", "_n_updates"),
        *("ep_info_buffer", "ep_success_buffer", "rollout_buffer_class", "rollout_buffer_kwargs"),
        *("cg_max_steps", "cg_damping", "line_search_shrinking_factor", "line_search_max_iter"),
        *("n_critic_updates", "sub_sampling_factor"),
    }
)
_OF_AGENT = frozenset(
    {
        *("policy_class", "policy_kwargs", "observation_space", "action_space", "num_timesteps"),
        *("seed", *NAMES),
    }
)
_MAX_STEPS = 10**15
_LISTED = 10


def card(container: Container, trained_by: str, task: str, ledger: Ledger) -> Card:
    """Write the card; what the ledger notes goes on it, so this comes last."""
    trained_for, seed = steps(container), _whole(container, "seed")
    ledger.add(
        "num_timesteps", f"{trained_for or 0:,}", "default" if trained_for is None else "plain"
    )
    ledger.add("seed", seed, "default" if seed is None else "plain")
    return Card(
        name=surroundings.stem(container.path),
        task=task,
        steps=trained_for or 0,
        seed=seed,
        versions=container.packages(),
        created=_date(container.data.get("start_time")),
        notes=_notes(container, trained_by, ledger),
    )


def steps(container: Container) -> int | None:
    """Return for how many steps the agent was trained, or None where the zip does not say.

    Raises:
        BadCheckpoint: It says something else than a whole number.
    """
    return _whole(container, "num_timesteps")


def trained_normalized(container: Container) -> bool | None:
    """Tell whether the last training was normalized, or None where the zip does not say.

    SB3 keeps the last observation as it was before normalization, if there was one.
    """
    key = "_last_original_obs"
    if container.data.get(key) is not None:
        return True
    trained = (
        type(container.data.get("num_timesteps")) is int and container.data["num_timesteps"] > 0
    )
    return False if key in container.data and trained else None


def look_around(container: Container, ledger: Ledger, own: OwnClasses) -> None:
    """Report what was not read: foreign names, members and entries that no SB3 writes."""
    for path in own.missing():
        ledger.name(path)
    for key, found in itertools.chain(container.names(), container.unread()):
        if found is None:
            ledger.name(f"unreadable pickle in {printable(key)}")
        for name in own.foreign(key, found or ()):
            ledger.name(name.path)
    for what, unknown in (
        ("members", container.others),
        ("entries", [key for key in container.data if key not in _OF_TRAINING | _OF_AGENT]),
    ):
        if unknown:
            more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
            listed = ", ".join(printable(name) for name in unknown[:_LISTED])
            ledger.note(
                f"{what} that Stable-Baselines3 does not write were not read: {listed}{more}"
            )


def compare(normalization: Normalization | None, trained_for: int, ledger: Ledger) -> None:
    """Say so where statistics stand for far fewer or more steps than the agent was trained for."""
    stats = normalization.obs_stats if normalization else None
    parts = list(stats.values()) if isinstance(stats, dict) else [stats]
    counts = [part.count for part in parts if part is not None]
    if trained_for and any(not 0.5 < count / trained_for < 2 for count in counts):
        ledger.note(
            f"its statistics stand for {counts[0]:,.0f} observations, and it was trained for "
            f"{trained_for:,} steps: they may be of another agent, or of another moment of its "
            "training"
        )


def _notes(container: Container, trained_by: str, ledger: Ledger) -> str:
    """Say where the agent is from, and what a user should know, a line each."""
    origin = (
        f"Trained by {trained_by} of Stable-Baselines3 {container.version}; imported from "
        f"{container.path.name}, sha256 {container.sha256}."
    )
    return "\n".join([origin, *(f"{note}." for note in ledger.notes)])


def _whole(container: Container, name: str) -> int | None:
    """Return a whole number from 0, or None where there is none."""
    value: Any = container.data.get(name)
    if container.is_pickled(name):  # of a numpy integer
        value = scalar(container.record(name))
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= _MAX_STEPS:
        raise BadCheckpoint(f"{name} is {printable(value)}: expected a whole number from 0")
    return value


def _date(start: Any) -> str:
    """Return the day of the beginning, from seconds since 1970 or, since 1.6, nanoseconds."""
    if type(start) not in (int, float):
        return ""
    seconds = start / 1e9 if start > 1e15 else start
    return datetime.fromtimestamp(seconds, UTC).date().isoformat() if 1.4e9 < seconds < 4e9 else ""
