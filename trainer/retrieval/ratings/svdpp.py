"""SVD++: SVD with the set of rated items as implicit feedback, fitted by scikit-surprise.

Source: Koren, "Factorization meets the neighborhood: a multifaceted collaborative filtering model", KDD 2008, eq. 15:
r̂_ui = μ + b_u + b_i + q_i · (p_u + |N(u)|^-½ Σ_{j in N(u)} y_j). The time of the gradient step for a rating is
proportional to the number of ratings of the user.
"""

from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.ratings.model import RatingModel, fit_with
from trainer.retrieval.ratings.settings import SVDppSettings


def fit(settings: SVDppSettings, data: RetrievalData, seed: int) -> RatingModel:
    """Fit SVD++. Raises: ModelError where events have no ratings."""
    from surprise import SVDpp

    algorithm = SVDpp(
        n_factors=settings.factors,
        n_epochs=settings.iterations,
        lr_all=settings.learning_rate,
        reg_all=settings.regularization,
        reg_yj=settings.implicit_regularization,
        random_state=seed,
        cache_ratings=True,
    )
    return fit_with(algorithm, "svdpp", settings, data)
