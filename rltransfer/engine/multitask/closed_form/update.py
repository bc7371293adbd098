"""One update of PPO over rows of several tasks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rltransfer.engine.closed_form.descent import Descent
from rltransfer.engine.closed_form.kernels.entries import KL
from rltransfer.engine.multitask.closed_form.epoch import Epochs, Minibatch
from rltransfer.engine.multitask.closed_form.network import TaskNetwork
from rltransfer.engine.multitask.closed_form.rows import Rows, within
from rltransfer.engine.multitask.closed_form.stream import Stream
from rltransfer.engine.multitask.closed_form.summary import Table
from rltransfer.engine.multitask.closed_form.workspace import Workspace
from rltransfer.engine.multitask.records import MultiTaskStatistics
from rltransfer.engine.records import Rollout, Settings
from rltransfer.heartbeat import beat

# Rows that are computed at once: their activations stay in the processor's cache.
CHUNK = 512


class Update:
    """All epochs of one update.

    The loss is the mean over the rows of a minibatch of the usual loss of each. Encoders and heads
    of tasks that have no rows in the rollout stay as they are, with their moments.

    Args:
        network: What is updated.
        optimizer: Its ``torch.optim.Adam``.
        rows: Rows of the rollout by task.
        rollout: What was collected, values and returns normalized.
        settings: Hyperparameters.
    """

    def __init__(
        self,
        network: TaskNetwork,
        optimizer: Any,
        rows: Rows,
        rollout: Rollout,
        settings: Settings,
    ) -> None:
        self._network = network
        self._settings = settings
        self._rows = rows
        self._active = [task for task, _, _ in rows.parts]
        layout = network.layout
        self._owners = layout.owners(self._active)
        trained = [one for one in layout.trained() if one.name in self._owners]
        self._descent = Descent(network, layout, trained, optimizer, settings)
        self._gradient = self._descent.gradient
        wanted = {id(segment.parameter) for segment in trained}
        self._actor = layout.actor.of(self._gradient, wanted)
        self._critic = layout.critic.of(self._gradient, wanted)
        self._log_stds = layout.log_stds_of(self._gradient)
        self._starts = network.actor.lowest(self._actor), network.critic.lowest(self._critic)
        self._epochs_of = Epochs(network, rows, rollout, settings)

    def run(self, inputs: np.ndarray) -> MultiTaskStatistics:
        """Run the epochs; what they reached is written back, whatever ends them.

        Args:
            inputs: Of the encoders, sorted by task, with their ones, shape (n, inputs).
        """
        return self._descent.run(lambda: self._epochs(inputs))

    def _epochs(self, inputs: np.ndarray) -> MultiTaskStatistics:
        network, settings = self._network, self._settings
        acted = self._below(network.actor, network.state.actor, inputs, self._starts[0])
        judged = self._below(network.critic, network.state.critic, inputs, self._starts[1])
        minibatches = settings.n_epochs * math.ceil(len(inputs) / settings.batch_size)
        table = Table(minibatches, len(network.heads))
        epoch = begun = done = 0
        for epoch in range(settings.n_epochs):
            begun = done
            for part in self._epochs_of.shuffled():
                table.shares[done] = part.shares
                kl = self._differentiate(part, acted, judged, table.losses[done])
                done += 1
                if settings.target_kl is not None and kl > 1.5 * settings.target_kl:
                    ended = {"epochs": epoch + 1, "stopped_at": epoch, "kl": kl}
                    return table.statistics(done, begun, settings, **ended)
                self._step(part)
                beat()
        return table.statistics(done, begun, settings, epochs=epoch + 1)

    def _below(self, stream: Stream, weights: Any, inputs: np.ndarray, start: int) -> np.ndarray:
        """What the frozen layers give for every row, the same in each epoch."""
        if not start:
            return inputs
        found = np.empty((len(inputs), stream.width(start)), inputs.dtype)
        for begin in range(0, len(inputs), CHUNK):
            end = min(begin + CHUNK, len(inputs))
            space = stream.workspace(within(self._rows.parts, begin, end))
            found[begin:end] = stream.features(weights, space, inputs[begin:end], stop=start).T
        return found

    def _differentiate(
        self, part: Minibatch, acted: np.ndarray, judged: np.ndarray, losses: np.ndarray
    ) -> float:
        """Compute losses and gradients of one minibatch; give its divergence."""
        network, state, (first, second) = self._network, self._network.state, self._starts
        if len(part.batches) < len(self._active):
            self._gradient.fill(0)  # nothing overwrites that of a task without rows
        acting, judging = network.workspaces(part.counts)
        for_actor = acted.take(part.rows, axis=0)
        for_critic = for_actor if judged is acted else judged.take(part.rows, axis=0)
        network.actor.forward(state.actor, acting, for_actor, first)
        self._actor_losses(part, acting, losses)
        divergence = float(losses[:, KL].dot(part.shares))
        if not math.isfinite(divergence):
            network.check(acting)
        network.critic.forward(state.critic, judging, for_critic, second)
        self._critic_losses(part, judging, losses)
        network.actor.backward(state.actor, acting, self._actor, for_actor, first)
        network.critic.backward(state.critic, judging, self._critic, for_critic, second)
        return divergence

    def _step(self, part: Minibatch) -> None:
        """Step; parameters that no row of the minibatch reaches stay, as their gradient is none."""
        if len(part.batches) == len(self._active):
            self._descent.step()
            return
        self._descent.divide(self._owners)
        self._descent.step(frozenset(task for task in self._active if part.counts[task]))

    def _actor_losses(self, part: Minibatch, space: Workspace, losses: np.ndarray) -> None:
        network, log_stds = self._network, self._network.state.log_stds
        for j, task in enumerate(space.tasks):
            gradient = self._log_stds[task]
            into = gradient if space.first_heads[j] else np.empty_like(gradient)
            network.heads[task].loss(
                space.outputs[j],
                (log_stds[task], into),
                part.batches[j],
                space.output_deltas[j],
                losses[task],
            )
            if into is not gradient:
                gradient += into

    def _critic_losses(self, part: Minibatch, space: Workspace, losses: np.ndarray) -> None:
        settings, value_loss = self._settings, self._network.kernels.value_loss
        clipped, clip = settings.clip_range_vf is not None, float(settings.clip_range_vf or 0)
        for j, task in enumerate(space.tasks):
            rows = space.columns[j]
            value_loss(
                space.outputs[j][0],
                part.returns[rows],
                part.old_values[rows],
                clipped,
                clip,
                float(settings.vf_coef * part.shares[task]),
                space.output_deltas[j][0],
                losses[task],
            )
