"""What a ranking network is fitted to: the losses by name, of scores over lists of candidates.

Each takes scores, labels and weights [B, C] and gives one number. A candidate of weight 0 is padding and counts for
nothing; of others the weight is what their loss or gain counts.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Callable

import tensorflow as tf

Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

TEMPERATURE = 0.1  # of approximate ranks; 1 / α of Qin et al., who take 10
MU = 10.0  # weight of NDCG-Loss2 beside LambdaRank's; as Wang et al.


def pointwise(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Weighted mean over candidates of the binary cross entropy."""
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, scores)
    return tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)


def pairwise(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Mean over lists of the mean of log(1 + exp(s_j - s_i)) over pairs where i is the better.

    Source: Burges et al., "Learning to rank using gradient descent" (RankNet), ICML 2005, eq. 3.
    """
    better = _better(labels, weights)
    losses = better * tf.nn.softplus(-_differences(scores))
    pairs = tf.reduce_sum(better, axis=[1, 2])
    return tf.reduce_mean(tf.math.divide_no_nan(tf.reduce_sum(losses, axis=[1, 2]), pairs))


def softmax(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Mean over lists of -Σ_j (label_j / Σ label) log softmax(score)_j, labels times their weights.

    Source: Cao et al., "Learning to rank: from pairwise approach to listwise approach" (ListNet), ICML 2007, eq. 3,
    with the labels' shares as the target.
    """
    log_shares = tf.nn.log_softmax(tf.where(weights > 0, scores, scores.dtype.min), axis=1)
    targets = tf.math.divide_no_nan(labels * weights, tf.reduce_sum(labels * weights, axis=1, keepdims=True))
    return tf.reduce_mean(-tf.reduce_sum(tf.where(weights > 0, targets * log_shares, 0.0), axis=1))


def lambda_loss(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Mean over lists of Σ (ρ_ij + μ δ_ij) |G_i - G_j| log2(1 + exp(s_j - s_i)) over pairs where i is the better.

    With the places i, j in the order of the scores as they are and D_i = log2(1 + i):
    ρ_ij = |1/D_i - 1/D_j|, what NDCG would lose if the two changed places, and δ_ij = |1/D_|i-j| - 1/D_|i-j|+1|.
    Source: Wang et al., "The LambdaLoss framework for ranking metric optimization", CIKM 2018, NDCG-Loss2++.
    """
    places = tf.stop_gradient(_places(scores, weights))
    gains = _gains(labels, weights)
    apart = tf.abs(places[:, :, tf.newaxis] - places[:, tf.newaxis])
    rho = tf.abs(_discounts(places)[:, :, tf.newaxis] - _discounts(places)[:, tf.newaxis])
    # Of a candidate with itself there is no δ, nor a pair.
    delta = tf.where(apart > 0, _discounts(tf.maximum(apart, 1.0)) - _discounts(apart + 1.0), 0.0)
    worth = (rho + MU * delta) * tf.abs(gains[:, :, tf.newaxis] - gains[:, tf.newaxis])
    losses = _better(labels, weights) * worth * tf.nn.softplus(-_differences(scores)) / tf.math.log(2.0)
    return tf.reduce_mean(tf.reduce_sum(losses, axis=[1, 2]))


def approx_ndcg(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Mean over lists of 1 - NDCG, a candidate's place taken as 1 + Σ_j sigmoid((s_j - s_i) / temperature).

    Source: Qin, Liu and Li, "A general approximation framework for direct optimization of information retrieval
    measures", Information Retrieval 2010, eq. 11 to 13.
    """
    others = tf.cast(weights > 0, tf.float32)[:, tf.newaxis] * (1.0 - tf.linalg.eye(tf.shape(scores)[1]))
    ahead = tf.sigmoid(-_differences(scores) / TEMPERATURE) * others
    places = 1.0 + tf.reduce_sum(ahead, axis=2)
    return 1.0 - tf.reduce_mean(tf.reduce_sum(_gains(labels, weights) * _discounts(places), axis=1))


LOSSES: dict[str, Loss] = {
    "pointwise": pointwise,
    "pairwise": pairwise,
    "softmax": softmax,
    "lambda": lambda_loss,
    "approx_ndcg": approx_ndcg,
}


def _differences(scores: tf.Tensor) -> tf.Tensor:
    """[B, C, C] of s_i - s_j."""
    return scores[:, :, tf.newaxis] - scores[:, tf.newaxis]


def _better(labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """[B, C, C]: the product of their weights where candidate i has the higher label."""
    higher = tf.cast(labels[:, :, tf.newaxis] > labels[:, tf.newaxis], tf.float32)
    return higher * weights[:, :, tf.newaxis] * weights[:, tf.newaxis]


def _places(scores: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """[B, C] places from 1 in the order of the scores, padding last."""
    order = tf.argsort(tf.where(weights > 0, scores, scores.dtype.min), axis=1, direction="DESCENDING", stable=True)
    return tf.cast(tf.argsort(order, axis=1), tf.float32) + 1.0


def _discounts(places: tf.Tensor) -> tf.Tensor:
    """1 / log2(1 + place)."""
    return tf.math.log(2.0) / tf.math.log1p(places)


def _gains(labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """[B, C] of weight (2^label - 1) / the best DCG that the list allows; 0 where nothing in it is right."""
    gains = (2.0**labels - 1.0) * weights
    places = tf.range(1, tf.shape(labels)[1] + 1, dtype=tf.float32)
    best = tf.reduce_sum(tf.sort(gains, axis=1, direction="DESCENDING") * _discounts(places), axis=1, keepdims=True)
    return tf.math.divide_no_nan(gains, best)
