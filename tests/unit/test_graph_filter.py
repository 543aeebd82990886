"""The singular vectors of the graph filter, compared with a dense decomposition; wide, tall and low-rank matrices."""

import numpy as np
import pytest
import scipy.sparse as sp

from trainer.retrieval.linear import graph_filter


@pytest.mark.parametrize("small", [0, 8192])
@pytest.mark.parametrize("shape", [(30, 50), (50, 30)])
def test_patterns_are_the_first_singular_vectors(monkeypatch, small, shape):
    monkeypatch.setattr(graph_filter, "SMALL", small)
    matrix = sp.random(*shape, 0.3, format="csr", random_state=0, dtype=np.float32)
    found = graph_filter.first_singular_vectors(matrix, 7, 0)
    expected = np.linalg.svd(matrix.toarray().astype(np.float64))[2][:7]
    np.testing.assert_allclose(found.T @ found, expected.T @ expected, atol=1e-5)


@pytest.mark.parametrize("small", [0, 8192])
def test_what_the_data_does_not_hold_is_no_pattern(monkeypatch, small):
    monkeypatch.setattr(graph_filter, "SMALL", small)
    rng = np.random.default_rng(0)
    of_rank_two = rng.random((6, 2)) @ rng.random((2, 9))
    assert graph_filter.first_singular_vectors(sp.csr_matrix(of_rank_two, dtype=np.float32), 4, 0).shape[0] == 2
