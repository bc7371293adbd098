"""One policy that learns many tasks at once, and what that does to tasks it knew before."""

from rltransfer.multitask.building import fresh_multitask
from rltransfer.multitask.run import CurveRow, MultiTaskRun
from rltransfer.multitask.running import multitask

__all__ = ["CurveRow", "MultiTaskRun", "fresh_multitask", "multitask"]
