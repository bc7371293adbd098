"""Names that files of Stable-Baselines3 hold, none of which is ever imported because of a file."""

from __future__ import annotations

import inspect
import re

from sb3_contrib.common.maskable import distributions as masked
from stable_baselines3.common import distributions, torch_layers
from stable_baselines3.common import policies as sb3_policies

from rltransfer.agents import classes, policies
from rltransfer.agents.inert import Global
from rltransfer.agents.inert.records import cloudpickled

#: Policy classes of SB3 and sb3-contrib, by the path under which they are pickled: the algorithm
#: of rltransfer, and the alias of the policy.
POLICIES: dict[str, tuple[str, str]] = {
    f"{policy.__module__}.{policy.__qualname__}": (algorithm, alias)
    for algorithm, kind in policies.ALGORITHMS.items()
    for alias, policy in kind.policy_aliases.items()
}
#: Layers, optimizers and extractors, by the path under which they are pickled.
CLASSES: dict[str, str] = {
    f"{kind.__module__}.{kind.__qualname__}": name for name, kind in classes.KNOWN.items()
}
_SPACES = (
    *("box.Box", "discrete.Discrete", "multi_discrete.MultiDiscrete"),
    *("multi_binary.MultiBinary", "dict.Dict", "tuple.Tuple"),
)
#: Paths of spaces, and what they are: "gym.spaces.box.Box" is a Box.
SPACES: dict[str, str] = {
    f"{package}.spaces.{path}": path.rpartition(".")[2]
    for package in ("gym", "gymnasium")
    for path in _SPACES
}
_CLOUDPICKLE = (
    *("_builtin_type", "_make_cell", "_make_empty_cell", "_make_function", "_function_setstate"),
    *("_empty_cell_value", "_fill_function", "_make_skel_func"),
)
#: What every SB3 writes beside the values that are read: buffers, random generators, times.
_HARMLESS = {
    *("collections.OrderedDict", "collections.deque", "_codecs.encode", "numpy.ndarray"),
    *("copyreg._reconstructor", "copyreg.__newobj__", "numpy.dtype"),
    *(f"builtins.{name}" for name in ("float", "int", "bool", "bytes", "bytearray", "object")),
    *(f"typing.{name}" for name in ("Union", "Callable", "Optional")),
    *(f"numpy.random._{kind}.{kind.upper()}" for kind in ("pcg64", "mt19937")),
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
    "numpy.random.bit_generator.SeedSequence",
    *(f"{gym}.utils.seeding.RandomNumberGenerator" for gym in ("gym", "gymnasium")),
    *(f"stable_baselines3.common.buffers.{kind}RolloutBuffer" for kind in ("", "Dict")),
    *(f"stable_baselines3.common.utils.{kind}Schedule" for kind in ("Constant", "Float", "Linear")),
    "rl_zoo3.utils.SimpleLinearSchedule",
    # The last states of RecurrentPPO up to 2.2. What torch.storage._load_from_bytes loads is a
    # pickle of its own, so that name is not among these.
    *("sb3_contrib.common.recurrent.type_aliases.RNNStates", "torch._utils._rebuild_tensor_v2"),
    "stable_baselines3.common.running_mean_std.RunningMeanStd",
    "stable_baselines3.common.vec_env.vec_normalize.VecNormalize",
    *cloudpickled(*_CLOUDPICKLE),
}
_PATTERNS = re.compile(
    r"numpy\.(core|_core)\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)"
    r"|numpy\.random\._pickle\.__(randomstate|generator|bit_generator)_ctor"
    r"|numpy\.(bool_?|float(16|32|64)|u?int(8|16|32|64))"
    r"|sb3_contrib\.common\.(maskable|recurrent)\.buffers\.\w+RolloutBuffer"
)
#: The functions of cloudpickle that make a class by value.
SKELETONS = cloudpickled("_make_skeleton_class")
#: What classes of users are made of: bases, decorators, and types in their annotations.
_OF_CLASSES = {
    *SKELETONS,
    *cloudpickled("_class_setstate", "subimport"),  # the latter names the modules they use
    *(f"builtins.{name}" for name in ("type", "property", "staticmethod", "classmethod")),
    *(f"builtins.{name}" for name in ("str", "list", "dict", "tuple", "set")),
    *(f"typing.{name}" for name in ("Any", "List", "Dict", "Tuple", "Type", "ClassVar")),
    *("types.GenericAlias", "types.UnionType", "_operator.getitem", "_operator.or_"),
    *("_functools.reduce", "collections.abc._CallableGenericAlias"),
    *(f"collections.abc.{name}" for name in ("Callable", "Iterable", "Mapping", "Sequence")),
    *("abc.ABCMeta", "torch.Tensor", "torch._tensor.Tensor"),
    *(f"{gym}.spaces.space.Space" for gym in ("gym", "gymnasium")),
    *(
        f"{kind.__module__}.{kind.__qualname__}"
        for module in (torch_layers, sb3_policies, distributions, masked)
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__
    ),
}
_OTHERS = {
    **{"dqn": "DQN", "sac": "SAC", "td3": "TD3 or DDPG", "ddpg": "DDPG", "her": "HER"},
    **{"qrdqn": "QR-DQN", "tqc": "TQC", "ars": "ARS", "crossq": "CrossQ"},
}
_OTHER = re.compile(rf"(?:stable_baselines3|sb3_contrib)\.({'|'.join(_OTHERS)})\.policies\.\w+")


def is_known(name: Global) -> bool:
    """Tell whether a name is one that files of SB3 hold, and that runs nothing of anybody's."""
    path = name.path
    return (
        path in _HARMLESS
        or path in POLICIES
        or path in CLASSES
        or path in SPACES
        or _PATTERNS.fullmatch(path) is not None
    )


def is_of_class(name: Global) -> bool:
    """Tell whether a name is one that a class by value is made of, and harmless there."""
    return name.path in _OF_CLASSES


def class_name(name: Global) -> str:
    """Return the name that an agent uses: ``"torch.nn.ReLU"``, or ``"module:QualName"``."""
    return CLASSES.get(name.path) or f"{name.module}:{name.name}"


def other_algorithm(policy: str) -> str | None:
    """Return the algorithm outside the PPO family that a policy class of SB3 belongs to, if any."""
    match = _OTHER.fullmatch(policy)
    return _OTHERS[match[1]] if match else None
