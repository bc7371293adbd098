"""Updates of plain actor-critic MLPs on the CPU, with every gradient written out in numpy."""

from rltransfer.engine.closed_form.coverage import cannot_act, unsupported
from rltransfer.engine.closed_form.learner import Learner
from rltransfer.engine.closed_form.predictor import Predictor

__all__ = ["Learner", "Predictor", "cannot_act", "unsupported"]
