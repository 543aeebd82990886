"""The validation of later deliveries against a frozen schema, by TFDV as in ExampleValidator, on small statistics."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import pyarrow as pa
import pytest

from pipeline.config import Config
from pipeline.dag.frozen import domain_sizes, relaxed

CONFIG = Config.model_validate(
    {
        "name": "shop",
        "data": {"root": ".", "title": "title"},
        "features": {
            "item": {
                "brand": "categorical",
                "genres": "multi_valued",
                "price": "numeric",
                "about": "text",
                "shelf": "categorical",
            }
        },
    }
)


def delivery(rows: int, **changes: dict[int, object]) -> pa.RecordBatch:
    """Return items as StatisticsGen reads them; `changes` maps column → row → new value, None for a missing value."""
    columns = {
        "item_id": [f"i{row}" for row in range(rows)],
        "title": [f"Title {row}" for row in range(rows)],
        "about": [f"About {row % 5}" for row in range(rows)],
        "shelf": [f"shelf {row}" for row in range(rows)],
        "brand": [f"b{row % 4}" for row in range(rows)],
        "genres": [["g0", "g1"][: 1 + row % 2] for row in range(rows)],
        "price": [float(row) for row in range(rows)],
    }
    for name, values in changes.items():
        for row, value in values.items():
            columns[name][row] = value
    lists = {
        name: [None if value is None else value if isinstance(value, list) else [value] for value in column]
        for name, column in columns.items()
    }
    return pa.RecordBatch.from_pydict(lists)


def statistics(batch: pa.RecordBatch):
    import tensorflow_data_validation as tfdv
    from tensorflow_data_validation.statistics import stats_impl

    return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())


@pytest.fixture(scope="module")
def freeze():
    import tensorflow_data_validation as tfdv

    first = statistics(delivery(50))
    inferred = tfdv.infer_schema(first, infer_feature_shape=False)
    assert set(domain_sizes(inferred)) > {"item_id", "title", "shelf"}, "what SchemaGen lists of a small table"
    return lambda tolerance: relaxed(inferred, first.datasets[0], CONFIG, "items", tolerance)


def anomalies(schema, batch: pa.RecordBatch) -> set[str]:
    import tensorflow_data_validation as tfdv

    return set(tfdv.validate_statistics(statistics(batch), schema).anomaly_info)


def test_new_items_titles_and_prices_pass(freeze):
    schema = freeze(0.0)
    assert domain_sizes(schema) == {"brand": 4, "genres": 2}
    new = {row: f"new {row}" for row in (3, 40)}
    later = delivery(60, item_id=new, title=new, about=new, shelf=new, price={7: -1e6}, genres={8: ["g0", "g1", "g0"]})
    assert anomalies(schema, later) == set()


@pytest.mark.parametrize(("tolerance", "new", "found"), [(0.0, 1, True), (0.05, 5, False), (0.05, 6, True)])
def test_new_values_of_a_category_pass_up_to_the_tolerance(freeze, tolerance, new, found):
    later = delivery(100, brand=dict.fromkeys(range(new), "unheard of"))
    assert anomalies(freeze(tolerance), later) == ({"brand"} if found else set())


@pytest.mark.parametrize(("tolerance", "missing", "found"), [(0.0, 1, True), (0.05, 5, False), (0.05, 6, True)])
def test_missing_values_pass_up_to_the_tolerance(freeze, tolerance, missing, found):
    later = delivery(100, price=dict.fromkeys(range(missing)))
    assert anomalies(freeze(tolerance), later) == ({"price"} if found else set())


def test_a_missing_id_never_passes(freeze):
    assert anomalies(freeze(0.5), delivery(100, item_id={0: None})) == {"item_id"}
