"""Metrics of predicted ratings, as functions of two arrays: (predicted [E], actual [E]) → one number.

The value is NaN without ratings. Ratings and predictions should be finite numbers.
"""

from collections.abc import Callable

import numpy as np


def mae(predicted: np.ndarray, actual: np.ndarray) -> float:
    """Return the mean absolute error: Σ |r̂ − r| / E, in units of the rating; 0 is perfect.

    Source: Herlocker et al., Evaluating collaborative filtering recommender systems (TOIS 2004), 4.1.
    """
    error = _errors(predicted, actual)
    return float(np.abs(error).mean()) if len(error) else float("nan")


def rmse(predicted: np.ndarray, actual: np.ndarray) -> float:
    """Return the root mean squared error: √(Σ (r̂ − r)² / E), in units of the rating; 0 is perfect.

    Large errors have more weight than in MAE.
    Source: Herlocker et al. (TOIS 2004), 4.1; the metric of the Netflix Prize.
    """
    error = _errors(predicted, actual)
    return float(np.sqrt(np.square(error).mean())) if len(error) else float("nan")


def r2(predicted: np.ndarray, actual: np.ndarray) -> float:
    """Return the coefficient of determination: R² = 1 − Σ (r̂ − r)² / Σ (r − r̄)², r̄ the mean of the given ratings.

    1 is perfect; 0 is as good as predicting r̄; a negative value is worse. NaN where all ratings are equal.
    Source: Draper and Smith, Applied Regression Analysis (1998), 1.3; on held-out data, as in scikit-learn.
    """
    error = _errors(predicted, actual)
    spread = np.square(actual - np.mean(actual, dtype=np.float64)).sum() if len(error) else 0.0
    return float(1 - np.square(error).sum() / spread) if spread > 0 else float("nan")


def _errors(predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Return the errors [E] as float64. Raises: ValueError for shapes that differ."""
    if np.shape(predicted) != np.shape(actual) or np.ndim(actual) != 1:
        raise ValueError(
            f"predicted and actual ratings should both be [E]; found {np.shape(predicted)} and {np.shape(actual)}"
        )
    return np.asarray(predicted, np.float64) - np.asarray(actual, np.float64)


RATING: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"rmse": rmse, "mae": mae, "r2": r2}
