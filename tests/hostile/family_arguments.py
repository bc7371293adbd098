"""Arguments of policies that no policy takes, or that ask for too much."""

from __future__ import annotations

import random
from typing import Any

from hostile import bases as b
from hostile import opcodes
from hostile.bases import Bases
from hostile.samples import Sample, family

_INF, _NAN = float("inf"), float("nan")
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "net_arch": (
        *([10**12], [10**6, 10**6], [64] * 10**5, [], None, "64", 64, [-1], [0], [1.5], [True]),
        *([None], {"pi": [10**9], "vf": []}, {"pi": [8] * 5000, "vf": [8]}, {"qf": [8], "pi": [8]}),
        *(
            {"pi": "8"},
            {"pi": 8},
            [{"pi": [8]}] * 3,
            [8, {"pi": [10**9]}],
            [[[[8]]]],
            [{"pi": [{}]}],
        ),
        *([{"pi": [8], "vf": [8], "x": 1}], [8, 8, {}], [10**30], {"pi": {"pi": [8]}}, [8, "8"]),
    ),
    "activation_fn": ("os.system", "torch.nn.Tanh", None, 1, [], "<class 'os.system'>", {"a": 1}),
    "optimizer_class": ("os.system", "torch.optim.LBFGS", 1, None, []),
    "optimizer_kwargs": (
        *({"lr": "x"}, {"lr": -1}, {"betas": [2, 3]}, {"betas": "x"}, {"eps": _NAN}, {"eps": -1}),
        *({"weight_decay": 1e308}, {"foreach": "x"}, {"fused": True}, {"x": 1}, [], "x", 1, None),
        *({"params": []}, {"capturable": True}, {"differentiable": True}, {"maximize": 3}),
    ),
    "features_extractor_class": ("os.system", "NatureCNN", 1, None),
    "features_extractor_kwargs": (
        *({"features_dim": 10**9}, {"cnn_output_dim": -1}, {"x": 1}, [], "x", 1, None),
    ),
    "log_std_init": (_NAN, _INF, -1e308, "x", None, [], 10**30, True),
    "ortho_init": ("x", 1, None, []),
    "use_sde": ("x", 1, True),
    "full_std": ("x", False, None),
    "use_expln": ("x", True),
    "squash_output": (True, "x"),
    "share_features_extractor": (False, "x"),
    "normalize_images": (False, "x", 1),
    "lstm_hidden_size": (10**9, -1, 0, "x", 10**5, None),
    "n_lstm_layers": (10**6, -1, 0, "x", 300),
    "shared_lstm": (True, "x"),
    "enable_critic_lstm": (True, "x"),
    "lstm_kwargs": ({"dropout": 2}, {"hidden_size": 10**9}, {"batch_first": True}, "x", {"x": 1}),
    "use_rms_prop": (True,),
    "sde_net_arch": ([10**9], [8], "x"),
    "__class__": ("x",),
    "self": ("x",),
    "lr_schedule": ("x",),
    "observation_space": ("x",),
    "": (1,),
    "$class": ("os.system",),
    "$tuple": ([1],),
    "device": ("cuda",),
}
_PAIRS = [(key, value) for key, values in _ARGUMENTS.items() for value in values]


@family(len(_PAIRS) * 3, len(_PAIRS) * 14)
def policy_arguments(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Arguments of the policy, as JSON, as a pickle with a true twin, or with none."""
    key, value = _PAIRS[index % len(_PAIRS)]
    base = bases.small(rng)
    given = {"net_arch": [8, 8]} | ({"lstm_hidden_size": 8} if base.name == "recurrent" else {})
    given |= {key: value}
    way, data = (index + index // len(_PAIRS)) % 3, base.data()
    if way == 0:
        data["policy_kwargs"] = given
    else:
        content = opcodes.join(opcodes.value(given), protocol=4)
        twin = {":type:": "<class 'dict'>", **(given if way == 1 else {})}
        data["policy_kwargs"] = b.entry(content, twin)
    return Sample(base.with_data(data), note=f"{key}={value!r:.60} of {base.name}, way {way}")
