"""Non-negative matrix factorisation of ratings; scikit-surprise does the fitting.

Source: Luo et al., "An efficient non-negative matrix-factorization-based approach to collaborative filtering for
recommender systems", IEEE Transactions on Industrial Informatics 2014: r̂_ui = q_i · p_u with q, p ≥ 0, each pass
multiplying every factor by the ratio of what the ratings ask of it to what it gives (RSNMF, with its penalty).
"""

from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.rating_retriever import RatingRetriever, fit_with
from trainer.retrieval.rating_settings import NMFSettings


def fit(settings: NMFSettings, data: RetrievalData, seed: int) -> RatingRetriever:
    """Raises: ModelError where events have no ratings."""
    from surprise import NMF

    algorithm = NMF(
        n_factors=settings.factors,
        n_epochs=settings.iterations,
        reg_pu=settings.regularization,
        reg_qi=settings.regularization,
        random_state=seed,
    )
    return fit_with(algorithm, "nmf", settings, data)
