"""Leaves of a reward tree that look after safety: triage, medication, return precautions, harmful requests, confidence.

House rules and tables with their sources; no clinician has reviewed them. docs/safety.md says what each reads and misses.
"""

from medrl.rewards.safety.confidence import Confidence
from medrl.rewards.safety.harmful import HarmfulRequest
from medrl.rewards.safety.medication import Medication
from medrl.rewards.safety.precautions import ReturnPrecautions
from medrl.rewards.safety.triage import Acuity, Department, Triage

__all__ = ["Acuity", "Confidence", "Department", "HarmfulRequest", "Medication", "ReturnPrecautions", "Triage"]
