"""What is taken out of multi-task policies and put into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from rltransfer.policies.encoders import ClassEncoder

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

#: Arguments that policies of one task and of several have in common.
PASSED_ON = ("activation_fn", "ortho_init", "optimizer_class", "optimizer_kwargs")


def live_policy(agent: Agent) -> Any:
    """Build the multi-task policy of an agent, on the CPU."""
    return agent.build().policy


def first_linear(encoder: Any) -> nn.Linear:
    """The one linear layer of an encoder of vectors or classes."""
    return encoder.linear if isinstance(encoder, ClassEncoder) else encoder[0]
