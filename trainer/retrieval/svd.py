"""SVD: matrix factorisation of ratings with biases; scikit-surprise does the fitting.

Source: Koren, Bell & Volinsky, "Matrix factorization techniques for recommender systems", IEEE Computer 2009, eq. 4
and 5: r̂_ui = μ + b_u + b_i + q_i · p_u, fitted by stochastic gradient descent on the squared error with a penalty
λ (b_u² + b_i² + ‖q_i‖² + ‖p_u‖²) a rating.
"""

from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.rating_retriever import RatingRetriever, fit_with
from trainer.retrieval.rating_settings import SVDSettings


def fit(settings: SVDSettings, data: RetrievalData, seed: int) -> RatingRetriever:
    """Raises: ModelError where events have no ratings."""
    from surprise import SVD

    algorithm = SVD(
        n_factors=settings.factors,
        n_epochs=settings.iterations,
        lr_all=settings.learning_rate,
        reg_all=settings.regularization,
        random_state=seed,
    )
    return fit_with(algorithm, "svd", settings, data)
