"""One update of PPO."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltransfer.engine.closed_form.descent import Descent
from rltransfer.engine.closed_form.head import Batch
from rltransfer.engine.closed_form.inputs import Inputs
from rltransfer.engine.closed_form.kernels.entries import (
    CLIP_FRACTION,
    ENTRIES,
    ENTROPY_LOSS,
    KL,
    POLICY_LOSS,
    VALUE_LOSS,
)
from rltransfer.engine.closed_form.network import Network
from rltransfer.engine.closed_form.tower import Workspace, lowest_of
from rltransfer.engine.records import Rollout, Settings, Statistics, Take
from rltransfer.engine.terms import Terms
from rltransfer.heartbeat import beat


@dataclass(frozen=True)
class Shuffled:
    """Rows of a rollout in the order of an epoch."""

    rows: np.ndarray
    actions: np.ndarray
    old_log_prob: np.ndarray
    old_values: np.ndarray
    advantages: np.ndarray
    returns: np.ndarray

    def part(self, rows: np.ndarray | slice) -> Shuffled:
        """Select some of them."""
        return Shuffled(
            self.rows[rows],
            self.actions[rows],
            self.old_log_prob[rows],
            self.old_values[rows],
            self.advantages[rows],
            self.returns[rows],
        )


class Update:
    """All epochs of one update of PPO (Schulman et al. 2017), as Stable-Baselines3 does them.

    Args:
        network: What is updated.
        optimizer: Its ``torch.optim.Adam``.
        rollout: What was collected.
        settings: Hyperparameters.
        terms: What is added to the loss; None for nothing.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Any,
        rollout: Rollout,
        settings: Settings,
        terms: Terms | None = None,
    ) -> None:
        self._network = network
        self._settings = settings
        self._permutation = rollout.permutation
        self._terms = terms
        self._added = 0.0
        layout = network.layout
        self._rollout = Shuffled(
            rows=np.arange(len(rollout.actions)),
            actions=network.head.prepare(rollout.actions),
            old_log_prob=np.asarray(rollout.old_log_prob, layout.dtype),
            old_values=np.asarray(rollout.old_values, layout.dtype),
            advantages=np.asarray(rollout.advantages, layout.dtype),
            returns=np.asarray(rollout.returns, layout.dtype),
        )
        self._trained = layout.trained()
        self._descent = Descent(network, layout, self._trained, optimizer, settings)
        flat = self._descent.gradient
        self._actor = [layer.of(flat) if layer.trains else None for layer in layout.actor]
        self._critic = [layer.of(flat) if layer.trains else None for layer in layout.critic]
        self._log_std = layout.log_std_of(flat)
        self._gradients = {one.name: one.of(flat) for one in self._trained}
        # Of a tower without a layer that trains, the last one still has to run.
        self._starts = [
            min(lowest_of(gradients), len(gradients) - 1)
            for gradients in (self._actor, self._critic)
        ]

    def run(self, take: Take) -> Statistics:
        """Run the epochs; what they reached is written back, whatever ends them."""
        rows = len(self._rollout.rows)
        return self._descent.run(
            lambda: self._epochs(Inputs(self._network, take, rows, *self._starts))
        )

    def _epochs(self, inputs: Inputs) -> Statistics:
        settings, rows = self._settings, len(self._rollout.rows)
        table = np.zeros((settings.n_epochs * math.ceil(rows / settings.batch_size), ENTRIES))
        epoch = begun = done = 0
        for epoch in range(settings.n_epochs):
            begun = done
            for part in self._minibatches():
                totals = table[done]
                done += 1
                self._differentiate(part, inputs, totals)
                if settings.target_kl is not None and totals[KL] > 1.5 * settings.target_kl:
                    ended = {"stopped_at": epoch, "kl": float(totals[KL])}
                    return self._statistics(table[:done], begun, epochs=epoch + 1, **ended)
                self._descent.step()
                beat()
        return self._statistics(table[:done], begun, epochs=epoch + 1)

    def _minibatches(self) -> Iterator[Shuffled]:
        whole = self._rollout.part(self._permutation())
        size = self._settings.batch_size
        for start in range(0, len(whole.rows), size):
            yield whole.part(slice(start, start + size))

    def _differentiate(self, part: Shuffled, inputs: Inputs, totals: np.ndarray) -> None:
        """Compute losses and gradients of one minibatch."""
        network, state = self._network, self._network.state
        acting, judging = inputs.load(part.rows)
        self._actor_loss(part, acting, totals)
        self._critic_loss(part, judging, totals)
        if self._terms is not None:
            log_std, delta = (state.log_std, self._log_std), acting.deltas[-1]
            self._added = self._terms.at_outputs(part.rows, acting.outputs, log_std, delta)
        network.actor.backward(state.actor, acting, self._actor)
        network.critic.backward(state.critic, judging, self._critic)
        if self._terms is not None:
            weights = {one.name: state.views[0][one.index] for one in self._trained}
            self._added += self._terms.at_weights(weights, self._gradients)

    def _actor_loss(self, part: Shuffled, workspace: Workspace, totals: np.ndarray) -> None:
        network, state, settings = self._network, self._network.state, self._settings
        outputs = network.actor.forward(state.actor, workspace, self._starts[0])
        advantages = part.advantages
        if settings.normalize_advantage and len(advantages) > 1:
            advantages = network.kernels.normalize(advantages)
        clip, ent_coef = float(settings.clip_range), float(settings.ent_coef)
        batch = Batch(part.actions, part.old_log_prob, advantages, clip, ent_coef)
        log_std = (state.log_std, self._log_std)
        network.head.loss(outputs, log_std, batch, workspace.deltas[-1], totals)
        if not math.isfinite(totals[KL]):
            network.check(outputs)

    def _critic_loss(self, part: Shuffled, workspace: Workspace, totals: np.ndarray) -> None:
        network, settings = self._network, self._settings
        values = network.critic.forward(network.state.critic, workspace, self._starts[1])
        network.kernels.value_loss(
            values[0],
            part.returns,
            part.old_values,
            settings.clip_range_vf is not None,
            float(settings.clip_range_vf or 0),
            float(settings.vf_coef),
            workspace.deltas[-1][0],
            totals,
        )

    def _statistics(self, table: np.ndarray, begun: int, **ended: Any) -> Statistics:
        means, last, settings = table.mean(axis=0), table[-1], self._settings
        loss = last[POLICY_LOSS] + settings.ent_coef * last[ENTROPY_LOSS]
        return Statistics(
            policy_loss=float(means[POLICY_LOSS]),
            value_loss=float(means[VALUE_LOSS]),
            entropy_loss=float(means[ENTROPY_LOSS]),
            approx_kl=float(table[begun:, KL].mean()),
            clip_fraction=float(means[CLIP_FRACTION]),
            loss=float(loss + settings.vf_coef * last[VALUE_LOSS] + self._added),
            **ended,
        )
