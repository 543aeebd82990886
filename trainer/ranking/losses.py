"""The loss functions of ranking networks, by name in `LOSSES`.

Each function takes the scores, labels and weights of candidate lists, [B, C] each, and returns a scalar. A candidate
with weight 0 is padding and is ignored; the loss or gain of any other candidate is multiplied by its weight. In a
replica, which has a part of a batch, the scalar is what this part contributes to the loss of the batch.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Callable

import tensorflow as tf

from trainer.distribution.distribution import mean, over_replicas

Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

TEMPERATURE = 0.1  # the temperature of the sigmoid in `approx_ndcg`: 1 / α of Qin et al., with α = 10
MU = 10.0  # μ in `lambda_loss`: the weight of NDCG-Loss2 (δ) relative to LambdaRank (ρ); as in Wang et al.


def pointwise(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the weighted mean over candidates of the binary cross entropy."""
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, scores)
    return tf.reduce_sum(losses * weights) / over_replicas(tf.reduce_sum(weights))


def pairwise(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the mean over lists of the mean of log(1 + exp(s_j - s_i)) over pairs where i has the higher label.

    Source: Burges et al., "Learning to rank using gradient descent" (RankNet), ICML 2005, eq. 3.
    """
    pair_weights = _pair_weights(labels, weights)
    losses = pair_weights * tf.nn.softplus(-_differences(scores))
    pairs = tf.reduce_sum(pair_weights, axis=[1, 2])
    return mean(tf.math.divide_no_nan(tf.reduce_sum(losses, axis=[1, 2]), pairs))


def softmax(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the mean over lists of -Σ_j p_j log softmax(score)_j.

    p_j, the target share of candidate j, is label_j · weight_j divided by the sum of these products over the list.

    Source: Cao et al., "Learning to rank: from pairwise approach to listwise approach" (ListNet), ICML 2007, eq. 3,
    with the labels' shares as the target.
    """
    log_shares = tf.nn.log_softmax(tf.where(weights > 0, scores, scores.dtype.min), axis=1)
    targets = tf.math.divide_no_nan(labels * weights, tf.reduce_sum(labels * weights, axis=1, keepdims=True))
    return mean(-tf.reduce_sum(tf.where(weights > 0, targets * log_shares, 0.0), axis=1))


def lambda_loss(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the list mean of Σ (ρ_ij + μ δ_ij) |G_i - G_j| log2(1 + exp(s_j - s_i)) over pairs with label_i > label_j.

    i and j are the ranks of two candidates by their current scores, G their gains in NDCG, and D_i = log2(1 + i). With
    ρ_ij = |1/D_i - 1/D_j|, ρ_ij |G_i - G_j| is the change of NDCG if the two candidates were swapped;
    δ_ij = |1/D_|i-j| - 1/D_|i-j|+1|.
    Source: Wang et al., "The LambdaLoss framework for ranking metric optimization", CIKM 2018, NDCG-Loss2++.
    """
    ranks = tf.stop_gradient(_ranks(scores, weights))
    gains = _gains(labels, weights)
    distance = tf.abs(ranks[:, :, tf.newaxis] - ranks[:, tf.newaxis])
    rho = tf.abs(_discounts(ranks)[:, :, tf.newaxis] - _discounts(ranks)[:, tf.newaxis])
    # δ is not defined for a candidate and itself, at distance 0; 0 takes its place, as such a pair has no weight.
    delta = tf.where(distance > 0, _discounts(tf.maximum(distance, 1.0)) - _discounts(distance + 1.0), 0.0)
    gain_weights = (rho + MU * delta) * tf.abs(gains[:, :, tf.newaxis] - gains[:, tf.newaxis])
    losses = _pair_weights(labels, weights) * gain_weights * tf.nn.softplus(-_differences(scores)) / tf.math.log(2.0)
    return mean(tf.reduce_sum(losses, axis=[1, 2]))


def approx_ndcg(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the mean over lists of 1 - NDCG, with rank_i approximated by 1 + Σ_{j≠i} sigmoid((s_j - s_i) / t).

    t is TEMPERATURE.

    Source: Qin, Liu and Li, "A general approximation framework for direct optimization of information retrieval
    measures", Information Retrieval 2010, eq. 11 to 13.
    """
    others = tf.cast(weights > 0, tf.float32)[:, tf.newaxis] * (1.0 - tf.linalg.eye(tf.shape(scores)[1]))
    ahead = tf.sigmoid(-_differences(scores) / TEMPERATURE) * others
    ranks = 1.0 + tf.reduce_sum(ahead, axis=2)
    return mean(1.0 - tf.reduce_sum(_gains(labels, weights) * _discounts(ranks), axis=1))


LOSSES: dict[str, Loss] = {
    "pointwise": pointwise,
    "pairwise": pairwise,
    "softmax": softmax,
    "lambda": lambda_loss,
    "approx_ndcg": approx_ndcg,
}


def _differences(scores: tf.Tensor) -> tf.Tensor:
    """Return the differences s_i - s_j of the scores of all pairs of candidates of a list: [B, C, C]."""
    return scores[:, :, tf.newaxis] - scores[:, tf.newaxis]


def _pair_weights(labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the product of the weights of i and j where i has the higher label, else 0: [B, C, C]."""
    higher = tf.cast(labels[:, :, tf.newaxis] > labels[:, tf.newaxis], tf.float32)
    return higher * weights[:, :, tf.newaxis] * weights[:, tf.newaxis]


def _ranks(scores: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return ranks from 1 in the order of the scores, padding last: [B, C]."""
    order = tf.argsort(tf.where(weights > 0, scores, scores.dtype.min), axis=1, direction="DESCENDING", stable=True)
    return tf.cast(tf.argsort(order, axis=1), tf.float32) + 1.0


def _discounts(ranks: tf.Tensor) -> tf.Tensor:
    """Return the discount of DCG at each rank, 1 / log2(1 + rank)."""
    return tf.math.log(2.0) / tf.math.log1p(ranks)


def _gains(labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return each candidate's gain, weight · (2^label - 1), divided by the ideal DCG of its list: [B, C].

    The gains are 0 in a list without a relevant candidate.
    """
    gains = (2.0**labels - 1.0) * weights
    ranks = tf.range(1, tf.shape(labels)[1] + 1, dtype=tf.float32)
    ideal = tf.reduce_sum(tf.sort(gains, axis=1, direction="DESCENDING") * _discounts(ranks), axis=1, keepdims=True)
    return tf.math.divide_no_nan(gains, ideal)
