"""What a policy for many tasks computes, task by task, over a batch of packed observations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from rltransfer.errors import BadArgument
from rltransfer.policies.networks import TaskNetworks
from rltransfer.policies.streams import Sorted


class PolicyByTask(TaskNetworks):
    """Parts of the computation that are the same with and without memory.

    All but ``_sorted`` work on rows in the order of tasks.
    """

    def _sorted(self, obs: Tensor) -> Sorted:
        numbers = obs.to(next(self.parameters()).dtype)
        index = numbers[:, 0]
        valid = (index >= 0) & (index < len(self.tasks)) & (index == index.round())
        if not bool(valid.all()):
            wrong = float(index[~valid][0])
            listed = ", ".join(f"{i} ({task.id})" for i, task in enumerate(self.tasks))
            raise BadArgument(
                f"an observation begins with {wrong:g}, which is no task of this policy: it has "
                f"{listed}; policy.act(id, observations) packs them by id"
            )
        return Sorted.of(numbers, len(self.tasks))

    def _features(
        self, batch: Sorted, *, actor: bool = True, critic: bool = True
    ) -> tuple[Any, Any]:
        inputs, names = [], []
        for part in batch.parts:
            task, size = self.tasks[part.index], self.packing.sizes[part.index]
            # In memory of its own: how wide other tasks make the packed rows may not show in the
            # last bit of a product.
            own = batch.observations[part.rows, 1 : 1 + size]
            own = own.clone(memory_format=torch.contiguous_format)
            if task.encoder in self.observation_stats:
                own = self.observation_stats[task.encoder](own)
            inputs.append(own)
            names.append(task.encoder)
        context = None if self.context is None else self.context(batch.tasks, batch.observations)
        acting = self.actor(inputs, names, context) if actor or self.critic is self.actor else None
        if self.critic is self.actor:
            return acting, acting
        return acting, self.critic(inputs, names, context) if critic else None

    def _parts(self, batch: Sorted, features: Tensor) -> Iterator[tuple[Any, ...]]:
        """Give each task's rows, distribution, outputs, log standard deviation and mask."""
        for part in batch.parts:
            head, size = self.tasks[part.index].head, self.packing.sizes[part.index]
            flags = self.packing.masks[part.index]
            mask = batch.observations[part.rows, 1 + size : 1 + size + flags] if flags else None
            outputs = self.action_heads[head](features[part.rows])
            log_std = self.log_stds.get(head, None)
            yield part.rows, self.distributions[part.index], outputs, log_std, mask

    def _act(
        self, batch: Sorted, features: Tensor, *, deterministic: bool, explore: bool
    ) -> Tensor:
        actions = features.new_zeros(len(features), *(self.packing.action_space.shape))
        for rows, distribution, *given in self._parts(batch, features):
            if deterministic:
                chosen = distribution.mode(*given)
            else:
                chosen = distribution.sample(*given, explore=explore)
            actions[rows, : distribution.size] = chosen.to(actions.dtype)
        return actions

    def _evaluate(self, batch: Sorted, features: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        found = [
            distribution.evaluate(*given, actions[rows])
            for rows, distribution, *given in self._parts(batch, features)
        ]
        log_probs, entropies = zip(*found, strict=True)
        return torch.cat(log_probs), torch.cat(entropies)

    def _values(self, batch: Sorted, features: Tensor, *, normalized: bool) -> Tensor:
        found = []
        for part in batch.parts:
            head: Any = self.value_heads[self.tasks[part.index].key]
            values = head(features[part.rows])
            found.append(values if normalized else head.denormalize(values))
        return torch.cat(found)
