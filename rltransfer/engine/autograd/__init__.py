"""The update of PPO through torch's autograd: any policy, with little around its own work."""

from rltransfer.engine.autograd.update import train

__all__ = ["train"]
