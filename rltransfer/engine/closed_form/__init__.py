"""Updates of plain actor-critic MLPs on the CPU, with every gradient written out in numpy."""

from rltransfer.engine.closed_form.coverage import unsupported
from rltransfer.engine.closed_form.learner import Learner

__all__ = ["Learner", "unsupported"]
