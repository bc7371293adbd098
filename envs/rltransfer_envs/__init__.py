"""Source and target tasks of rltransfer, one family a file; importing the package registers them.

Families whose simulator is an extra (Box2D, MiniGrid, MuJoCo) are registered in any case: making
one of their environments without the extra says what to install.
"""

from __future__ import annotations

from rltransfer_envs import (
    acrobot,
    cartpole,
    frozenlake,
    lunarlander,
    minigrid,
    mountaincar,
    mujoco,
    pendulum,
    vectorized,
)

for _family in (
    cartpole,
    pendulum,
    mountaincar,
    acrobot,
    frozenlake,
    lunarlander,
    minigrid,
    mujoco,
    vectorized,
):
    _family.register()
