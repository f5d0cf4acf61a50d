"""Evaluation of synthetic data: fidelity, diversity and downstream use, against real patients."""

from fedgen.evaluation.evaluate import run_evaluation
from fedgen.evaluation.result import EvaluationResult

__all__ = ["EvaluationResult", "run_evaluation"]
