"""Which pairs are measured, what is run on them, and for how long."""

from __future__ import annotations

from rltransfer.presets import recipe
from rltransfer.recipe import Recipe
from rltransfer.selectors.similarity import INSTANCES

PAIRS = (
    *("cartpole-long", "cartpole-far", "cartpole-heavy-pole", "cartpole-heavy-cart"),
    *("cartpole-gravity", "cartpole-slow-control", "cartpole-swapped", "cartpole-permuted"),
    *("acrobot-heavy", "acrobot-long", "acrobot-top-heavy", "acrobot-weak", "acrobot-flipped"),
    *("mountaincar-continuous-weak", "mountaincar-continuous-flipped"),
    *("pendulum-strong-gravity", "pendulum-flipped"),
)
"""All pairs of four cheap families whose target has a reference score: gains on other targets would
be on other scales."""

ARMS: dict[str, Recipe] = {
    "scratch": recipe("scratch"),
    "full": recipe("full"),
    "instances": Recipe(retain=INSTANCES),
    "fresh-heads": Recipe(reset=["heads"], critic="refit"),
    "auto": Recipe(select="auto"),
    "zero_shot": Recipe(select="zero_shot"),
    "similarity": Recipe(select="similarity"),
}
"""What is run on every pair. The second to fourth are what the selectors mostly choose from."""
FIXED = ("full", "instances", "fresh-heads")
SELECTORS = ("auto", "zero_shot", "similarity")

FINAL = "full, at the end"
"""What ``full`` gained in the mean score of the last tenth of training, which the score before
training is no part of."""

SETTINGS = {"points": 10, "episodes": 20, "device": "cpu"}
MEASURE_SEEDS = 3
"""Seeds over which each measure is averaged."""
SMOKE_PAIRS = ("cartpole-slow-control", "cartpole-swapped")
SMOKE_STEPS = 8_192
SMOKE_SETTINGS = {"points": 2, "episodes": 4, "device": "cpu"}
