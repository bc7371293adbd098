"""Updates of multi-task MLPs on the CPU, with every gradient written out in numpy."""

from rltransfer.engine.multitask.closed_form.coverage import unsupported
from rltransfer.engine.multitask.closed_form.learner import MultiTaskLearner

__all__ = ["MultiTaskLearner", "unsupported"]
