"""Spaces, layers and habits that the engine's fast paths have to decline, or to honour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from engine_cases import ACTIONS, OBSERVATIONS, differences, learn, pair
from gymnasium import spaces
from torch import nn

SAME = 1e-5


@pytest.mark.parametrize(
    ("space", "closed"),
    [
        (spaces.Box(-3, 3, (2,), np.int32), False),
        (spaces.Box(-1, 1, (2,), np.float16), False),
        (spaces.Box(-1, 1, (2,), np.float64), True),
        (spaces.MultiDiscrete([3, 2], dtype=np.int8), True),
    ],
    ids=str,
)
def test_actions_of_other_types(monkeypatch: Any, space: Any, closed: bool) -> None:
    monkeypatch.setitem(ACTIONS, "odd", space)
    stock, ours = (learn(model, 3) for model in pair(actions="odd"))
    assert differences(stock, ours) < SAME
    assert ("rounds actions" in ours.engine_report()) is not closed


def test_a_replaced_forward_of_a_flatten_extractor() -> None:
    models = pair()
    for model in models:
        model.policy.features_extractor.forward = lambda x: torch.flatten(x, 1) * 2
        learn(model, 3)
    assert differences(*models) < SAME
    assert "forward of features_extractor was replaced" in models[1].engine_report()


@pytest.mark.parametrize("options", [{}, {"target_kl": 1e-5, "learning_rate": 1e-2}], ids=str)
def test_gradients_stay_as_the_last_minibatch_made_them(options: dict[str, Any]) -> None:
    models = pair(actions="box", **options)
    for model in models:
        model.policy.mlp_extractor.policy_net.requires_grad_(False)
        learn(model, 3)
    stock, ours = (dict(model.policy.named_parameters()) for model in models)
    for name, parameter in stock.items():
        assert (parameter.grad is None) == (ours[name].grad is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(ours[name].grad, parameter.grad, atol=SAME, rtol=1e-3)


class Viewing(nn.Module):
    """Calls ``view``, which refuses channels that lie together."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 8, 4)

    def forward(self, images: Any) -> Any:
        return self.layer(images).view(len(images), -1)


def _own_layer(policy: Any) -> None:
    torch.manual_seed(0)
    policy.features_extractor.cnn = Viewing()
    policy.features_extractor.linear = nn.Linear(256, 512)
    policy.optimizer = torch.optim.Adam(policy.parameters(), lr=3e-4, eps=1e-5)


def _own_hook(policy: Any) -> None:
    layer = policy.features_extractor.cnn[0]
    layer.register_forward_hook(lambda module, args, out: out.view(len(out), -1).view(out.shape))


@pytest.mark.parametrize("change", [_own_layer, _own_hook])
def test_layers_and_hooks_that_need_the_usual_order(monkeypatch: Any, change: Any) -> None:
    images = spaces.Box(0, 255, (3, 36, 36), np.uint8)
    monkeypatch.setitem(OBSERVATIONS, "channels first", images)
    models = pair("channels first", policy="CnnPolicy")
    for model in models:
        change(model.policy)
        learn(model, 2)
    assert differences(*models) < SAME
