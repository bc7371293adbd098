"""Acting while the world changes: what returns too little for long is fine-tuned."""

from rltransfer.online.outcome import OnlineRun, Retraining
from rltransfer.online.stream import online

__all__ = ["OnlineRun", "Retraining", "online"]
