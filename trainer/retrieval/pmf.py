"""Probabilistic matrix factorisation of ratings, without biases; scikit-surprise does the fitting.

Source: Salakhutdinov & Mnih, "Probabilistic matrix factorization", NIPS 2007, eq. 4: r̂_ui = q_i · p_u, the squared
error with a penalty λ (‖q_i‖² + ‖p_u‖²) a rating, by stochastic gradient descent.
"""

from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.rating_retriever import RatingRetriever, fit_with
from trainer.retrieval.rating_settings import PMFSettings


def fit(settings: PMFSettings, data: RetrievalData, seed: int) -> RatingRetriever:
    """Raises: ModelError where events have no ratings."""
    from surprise import SVD

    algorithm = SVD(
        biased=False,
        n_factors=settings.factors,
        n_epochs=settings.iterations,
        lr_all=settings.learning_rate,
        reg_all=settings.regularization,
        random_state=seed,
    )
    return fit_with(algorithm, "pmf", settings, data)
