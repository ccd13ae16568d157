"""Fits the evidence below which a collection's questions are declined, to a stated rate of wrong answers."""

from appliance.calibration.calibrator import Calibrator
from appliance.calibration.spec import CalibrationQuestion, CalibrationSpec, CalibrationStatus

__all__ = ["CalibrationQuestion", "CalibrationSpec", "CalibrationStatus", "Calibrator"]
