"""Faults in the signals of sensors: what deviates from its forecast, or from its usual range, batch and streaming.

>>> from rnncore.detection import Detector
>>> Detector(false_alarms="1 per day").get_params()["forecaster"]
'network'
"""

from rnncore.detection.alarm import Alarm
from rnncore.detection.detector import Detector
from rnncore.detection.kinds import KINDS
from rnncore.detection.river import RiverDetector
from rnncore.detection.scores import Scores
from rnncore.tables import InputError

__all__ = ["KINDS", "Alarm", "Detector", "InputError", "RiverDetector", "Scores"]
