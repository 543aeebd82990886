"""SVD, PMF and NMF: matrix factorisation of ratings, fitted by scikit-surprise.

SVD: Koren, Bell & Volinsky, "Matrix factorization techniques for recommender systems", IEEE Computer 2009, eq. 4 and 5:
r̂_ui = μ + b_u + b_i + q_i · p_u, fitted by stochastic gradient descent on the squared error with a penalty
λ (b_u² + b_i² + ‖q_i‖² + ‖p_u‖²) per rating.

PMF: Salakhutdinov & Mnih, "Probabilistic matrix factorization", NIPS 2007, eq. 4: r̂_ui = q_i · p_u, fitted like SVD but
without μ and biases.

NMF: Luo et al., "An efficient non-negative matrix-factorization-based approach to collaborative filtering for
recommender systems", IEEE Transactions on Industrial Informatics 2014: r̂_ui = q_i · p_u with q, p ≥ 0, fitted by
multiplicative updates with a penalty (RSNMF).
"""

from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.ratings.model import RatingModel, fit_with
from trainer.retrieval.ratings.settings import NMFSettings, PMFSettings, SVDSettings


def fit_svd(settings: SVDSettings, data: RetrievalData, seed: int) -> RatingModel:
    """Fit SVD. Raises: ModelError where events have no ratings."""
    return _fit_by_gradient_descent(settings, data, seed, "svd", biased=True)


def fit_pmf(settings: PMFSettings, data: RetrievalData, seed: int) -> RatingModel:
    """Fit PMF. Raises: ModelError where events have no ratings."""
    return _fit_by_gradient_descent(settings, data, seed, "pmf", biased=False)


def fit_nmf(settings: NMFSettings, data: RetrievalData, seed: int) -> RatingModel:
    """Fit NMF. Raises: ModelError where events have no ratings."""
    from surprise import NMF

    algorithm = NMF(
        n_factors=settings.factors,
        n_epochs=settings.iterations,
        reg_pu=settings.regularization,
        reg_qi=settings.regularization,
        random_state=seed,
    )
    return fit_with(algorithm, "nmf", settings, data)


def _fit_by_gradient_descent(
    settings: SVDSettings | PMFSettings, data: RetrievalData, seed: int, model: str, biased: bool
) -> RatingModel:
    """Fit a factorisation with or without biases."""
    from surprise import SVD

    algorithm = SVD(
        biased=biased,
        n_factors=settings.factors,
        n_epochs=settings.iterations,
        lr_all=settings.learning_rate,
        reg_all=settings.regularization,
        random_state=seed,
    )
    return fit_with(algorithm, model, settings, data)
