"""The sections of the report on tables, sample lists and the short table; and that the page fits a phone."""

import itertools
import re
from dataclasses import replace

import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from core import names
from pipeline import report
from pipeline.report import charts, page, short, statistics, style
from pipeline.report.data_lines import data_lines

HOSTILE = "<script>alert('&')</script>"


def estimate(mean, low=None, high=None):
    return {"mean": mean, "low": low, "high": high, "queries": 9}


def evaluation(ratings=None):
    def measured(scale):
        return {
            label: estimate(value * scale, value * scale - 0.01, value * scale + 0.01)
            for label, value in {"ndcg@10": 0.3, "recall@10": 0.4, "map@10": 0.2, "catalogue_coverage@10": 0.5}.items()
        }

    both = {
        "subject": "two_step",
        "ks": [10],
        "models": {"two_step": measured(1), "retrieval": measured(0.8), "popularity": measured(0.5)},
        "differences": {"retrieval": measured(0.2), "popularity": measured(0.5)},
    }
    verdicts = [{"rule": "two_step map@10 not below popularity", "passed": True, "sentence": "Passed: map@10."}]
    return {"steps": {"two_step": both, "retrieval": both | {"ratings": ratings}}, "verdicts": verdicts}


def finding(**values):
    plain = {"table": "items", "column": "price", "measure": "median", "before": 5.0, "now": 5.0, "value": None}
    return plain | {"change": 1.0, "low": 1 / 3, "high": 3.0, "bound": 3.0, "beyond": False} | values


DRIFT = {
    "release": "20261124T033118Z-2e1e1b96",
    "not_compared": None,
    "action": "report",
    "findings": [
        finding(column="age"),
        finding(now=5000.0, change=1000.0, beyond=True),
        finding(column="region", measure="distance", value=HOSTILE, before=0.35, now=1.0, change=0.65, beyond=True),
    ],
}
DENSITY = {
    "events": 1_000,
    "users": 50,
    "items": 200,
    "pairs": 900,
    "filled": 0.09,
    "per_user": {"median": 18.0, "p95": 41.5},
    "per_item": {"median": 3.0, "p95": 17.0},
}
ITEM = {"item_id": "i7", "title": HOSTILE, "score": 1.25, "relevant": True}
LIST = {"user_id": "u1", "relevant": 4, "history": ["Alien", "Brazil"], "items": [ITEM, ITEM | {"relevant": False}]}
COLUMN = {"name": "price", "type": "numbers", "missing": 0.125, "distinct": None, "low": 1.5, "median": 5, "high": 99.0}


@pytest.fixture
def full():
    return report.ReportFacts(
        name="demo",
        run_time="now",
        seed=7,
        candidates=10,
        tables={
            "interactions": {"rows_read": 1_000, "rows_written": 996, "dropped": {"invalid_key": 4}, "files": []}
            | {"ignored_columns": []}
        },
        join={"rows": {"train": 990}, "dropped": {"unknown_item": 6}},
        columns={"items": [COLUMN | {"top": []}], "users": []},
        drift=DRIFT,
        samples={"density": DENSITY, "lists": [LIST]},
    )


def text_of(document):
    return " ".join(re.sub(r"<[^>]+>", " ", document.partition("<main>")[2]).split())


def test_drift_beyond_a_bound_comes_first(full):
    document = page.render(full)
    text = text_of(document)
    assert re.search("2 of 3 measures .*20261124T033118Z-2e1e1b96", text)
    places = [text.index(words) for words in ("items price median 5 5,000 1,000 3", "items region", "items age median")]
    assert places == sorted(places)
    assert "35.0% 100.0% 0.65" in text
    assert HOSTILE not in document


def test_without_a_release_in_force_the_report_says_why(full):
    text = text_of(page.render(replace(full, drift=DRIFT | {"findings": [], "not_compared": "no earlier release"})))
    assert "no earlier release" in text


def test_dropped_rows_stand_by_reason_with_their_share_from_reading_and_joining(full):
    text = text_of(page.render(full))
    assert "interactions unknown item 6 0.6% interactions invalid key 4 0.4%" in text


def test_the_terminal_names_the_columns_that_drifted(full):
    line = "drift       2 of 3 measures: items.price median, items.region distance"
    assert line in data_lines(full)
    rows = finding(column=None, measure="rows", beyond=True)
    [many] = data_lines(replace(full, tables={}, drift=DRIFT | {"findings": [rows, *DRIFT["findings"], rows]}))
    assert many == "drift       4 of 5 measures: items rows, items.price median, items.region distance, …"
    assert data_lines(replace(full, tables={}, drift=DRIFT | {"findings": [finding()]})) == []


def test_density_and_columns(full):
    text = text_of(page.render(full))
    assert re.search("900 .{0,40} 9%", text)
    assert "a user 18.0 41.5 an item 3.0 17.0" in text
    assert "Columns of items column type missing distinct min median max most frequent" in text
    assert "price numbers 12.5% – 1.5 5 99" in text
    assert "Columns of users" not in text


def test_sample_lists(full):
    document = page.render(full)
    text = text_of(document)
    assert re.search("User u1 .*Alien; Brazil.* 1 of the 4 relevant items .*2 positions", text)
    assert "1.250" in text
    assert "<script" not in document
    assert "Sample recommendations" not in page.render(replace(full, samples=None))


def test_columns_are_read_from_the_statistics_of_a_table(tmp_path):
    table = statistics_pb2.DatasetFeatureStatistics(num_examples=8)
    price, brand = table.features.add(), table.features.add()
    price.path.step.append("price")
    price.num_stats.common_stats.num_non_missing = 6
    price.num_stats.min, price.num_stats.median, price.num_stats.max = 1, 2, 3
    brand.path.step.append("brand")
    brand.string_stats.common_stats.num_non_missing = brand.string_stats.common_stats.tot_num_values = 8
    brand.string_stats.unique = 4
    for label, count in (("x" * 99, 4), ("b", 2), ("c", 1), ("d", 1)):
        brand.string_stats.rank_histogram.buckets.add(label=label, sample_count=count)
    folder = tmp_path / f"Split-{names.ALL}"
    folder.mkdir()
    whole = statistics_pb2.DatasetFeatureStatisticsList(datasets=[table])
    (folder / names.STATISTICS_FILE).write_bytes(whole.SerializeToString())
    numbers, strings = statistics.columns(tmp_path)
    assert (numbers["name"], numbers["type"], numbers["missing"], numbers["distinct"]) == (
        "price",
        "numbers",
        0.25,
        None,
    )
    assert (numbers["low"], numbers["median"], numbers["high"], numbers["top"]) == (1, 2, 3, [])
    assert (strings["name"], strings["missing"], strings["distinct"]) == ("brand", 0, 4)
    assert strings["top"] == [("x" * 37 + "...", 0.5), ("b", 0.25)]
    assert statistics.columns(tmp_path / "nowhere") == []


def test_the_short_table_is_of_the_metric_that_the_rules_judge():
    text = text_of(f"<main>{short.section(evaluation())}")
    assert re.match(".* by MAP@10 MAP@10 NDCG@10 MAP@10: two-step − other", text)
    assert text.index("two-step 0.2000 0.1900 to 0.2100 0.3000") < text.index("retrieval alone 0.1600")
    assert "+0.1000 +0.0900 to +0.1100" in text  # the difference from popularity
    assert "Predicted ratings" not in text


@pytest.mark.parametrize(("r2", "shown"), [(0.25, "0.2500"), (None, "–")])
def test_predicted_ratings_are_shown_where_they_were_measured(r2, shown):
    ratings = {"events": 1_234, "rmse": 0.95, "mae": 0.75, "r2": r2}
    text = text_of(f"<main>{short.section(evaluation(ratings))}")
    assert re.search(f"1,234 .*RMSE 0.9500, MAE 0.7500, R² {shown}", text)


def test_a_page_fits_a_phone(full):
    document = page.render(full)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in document
    starts = [match.start() for match in re.finditer("<table", document)]
    assert len(starts) >= 5
    for start in starts:
        assert 'class="scroll"' in document[:start].rpartition("<div")[2]  # a wide table scrolls inside its frame
    drawing = charts.intervals("t", [("", [charts.Dot("a" * 60, 0.25, 0.2, 0.3)])])
    width = float(re.search(r'viewBox="0 0 (\d+) ', drawing)[1])
    assert 12 * (360 - 2 * 16) / width >= 9  # the height of the text in pixels, if the drawing is as wide as a phone
    rule = re.search(r"\nsvg \{(.*?)\}", style.STYLE, flags=re.DOTALL)[1]
    assert "width: 100%" in rule
    assert "min-width" not in rule


def test_numbers_of_an_axis_do_not_run_into_each_other():
    dots = [charts.Dot("a" * 60, 3_100, 2_000, 18_400, note="n = 10,000,000")]
    drawing = charts.intervals("t", [("", dots)])
    ticks = [(float(x), text) for x, text in re.findall(r'<text x="([\d.]+)"[^>]*class="tick">([^<]*)<', drawing)]
    assert len(ticks) >= 2
    for (x, text), (after, following) in itertools.pairwise(ticks):
        assert after - x >= 6.6 * (len(text) + len(following)) / 2
