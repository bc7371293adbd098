"""Experiments: single runs, sweeps over seeds and recipes, and what they gained."""

from rltransfer.experiments.finetuning import Finetuned, finetune
from rltransfer.experiments.gain import Gain
from rltransfer.experiments.jobs import Job
from rltransfer.experiments.measuring import measure, measure_pair
from rltransfer.experiments.run import Run
from rltransfer.experiments.spec import RunSpec
from rltransfer.experiments.sweep import sweep

__all__ = [
    "Finetuned",
    "Gain",
    "Job",
    "Run",
    "RunSpec",
    "finetune",
    "measure",
    "measure_pair",
    "sweep",
]
