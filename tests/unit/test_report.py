"""The report: its content, well-formed markup, and the escaping of names from the data."""

import html.parser
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest

from components.recommender_evaluator import evaluation, rules
from components.recommender_evaluator.settings import Rule
from core import metrics
from pipeline import report
from pipeline.report import facts, glossary, page
from pipeline.report.data_lines import data_lines

N_QUERIES, N_ITEMS, KS = 60, 40, (5, 10)
HOSTILE = "<script>alert('&\"x\"')</script>"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="20"><title>Lineage</title></svg>'


def evaluated(slice_value: str = "F") -> dict:
    """Return an evaluation in which two-step has all, retrieval half and popularity none of the relevant items."""
    rng = np.random.default_rng(0)
    relevant = [np.sort(rng.permutation(N_ITEMS)[:4]) for _ in range(N_QUERIES)]
    chance = np.stack([rng.permutation(N_ITEMS) for _ in range(N_QUERIES)]).astype(np.int32)
    good = np.stack([[*sure, *np.setdiff1d(row, sure)] for row, sure in zip(chance, relevant, strict=True)])
    half = np.stack([[*sure[:2], *np.setdiff1d(row, sure[:2])] for row, sure in zip(chance, relevant, strict=True)])
    ranked = {"two_step": good, "retrieval": half, "popularity": chance}

    def step(subject: str, models: list[str]) -> dict:
        return evaluation.evaluate(
            {model: ranked[model].astype(np.int32) for model in models},
            subject,
            relevant=(np.arange(N_QUERIES + 1) * 4, np.concatenate(relevant).astype(np.int32)),
            train_counts=np.arange(N_ITEMS),
            ks=KS,
            features=pa.table({"gender": [slice_value, "M"] * (N_QUERIES // 2)}),
            has_history=np.ones(N_QUERIES, dtype=bool),
            resamples=100,
            seed=1,
        )

    steps = {"retrieval": step("retrieval", ["retrieval", "popularity"]), "two_step": step("two_step", list(ranked))}
    verdicts = rules.check([Rule(step="two_step", metric="ndcg@5", not_below="popularity")], steps)
    points = [
        {"weight": weight, "ndcg": 0.2 - 0.1 * weight, "intra_list_diversity": 0.5 + weight, "catalogue_coverage": 0.3}
        for weight in (0.0, 0.1, 0.4)
    ]
    trade_off = {"method": "mmr", "k": 5, "queries": N_QUERIES, "served": 0.1, "points": points}
    return {
        "steps": steps, "verdicts": [vars(each) for each in verdicts], "blessed": True, "trade_off": trade_off
    }  # fmt: skip


@pytest.fixture(scope="module")
def evaluation_json() -> dict:
    return json.loads(json.dumps(evaluated()))


@pytest.fixture
def full(evaluation_json) -> report.ReportFacts:
    table = {"rows_read": 1_204, "rows_written": 1_200, "dropped": {"invalid_key": 4}, "ignored_columns": ["zip"]}
    table |= {
        "problems": [],
        "spans": ["7", "8"],
        "files": [{"file": "/data/events.csv", "sha256": "ab" * 32, "rows": 1_204, "dropped": {}}],
    }
    settings = {"dim": 16, "hidden": [64, 32], "epochs": 30}
    curve = [{"epoch": epoch, "loss": 2 / epoch, "ndcg@10": 0.2} for epoch in (1, 2, 3)]
    return report.ReportFacts(
        name="demo",
        run_time="2026-11-24 03:11",
        seed=7,
        candidates=10,
        release="20261124T033118Z-2e1e1b96",
        evaluation=evaluation_json,
        tables={"interactions": table},
        join={"rows": {"eval": 100, "test": 300, "train": 600}, "dropped": {"unknown_item": 3}},
        retrieval={"model": "two_tower", "settings": settings, "chosen": settings | {"epochs": 9}},
        ranking={"model": "dcn", "settings": settings, "epoch": 2, "curve": curve},
        lists={"test": {"positives": 30, "positives_missed": 90, "queries": 60, "with_a_positive": 20}},
        index={"kind": "hnsw", "items": 40, "recall": 0.987},
        nodes=[("EventJoiner", "done", 12.3), ("Transform", "cached", 0.2)],
        lineage_svg=SVG,
    )


class Balance(html.parser.HTMLParser):
    """A parser that fails if an end tag does not close the innermost open element."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(document: str) -> Balance:
    parser = Balance()
    parser.feed(document)
    parser.close()
    assert parser.open == []
    return parser


def text_of(facts_: report.ReportFacts) -> str:
    return " ".join(" ".join(parsed(page.render(facts_)).text).split())


def svgs(document: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", document, flags=re.DOTALL)


def test_tells_everything_of_a_full_run(full):
    text = text_of(full)
    for model in ("two-step", "retrieval alone", "popularity"):
        assert model in text
    for name in metrics.METRICS:
        assert text.count(glossary.METRICS[name].title) >= 3  # in two tables and in the explanation of metrics
    named = (
        "Released", full.release, "seed 7", full.evaluation["verdicts"][0]["sentence"], "gender=M", "90",
        "1,204", "4 invalid key (0.3%)", "spans 7, 8", "3 unknown item (", "train 600 (60.0%)",
        "two_tower", "dcn", "64, 32", "98.7%", "NDCG@10 by epoch", "12.3 s", "Transform 0.2 s from cache",
    )  # fmt: skip
    assert [each for each in named if each not in text] == []


def test_accuracy_against_diversity_is_drawn_with_the_configured_weight(full):
    text = text_of(full)
    assert re.search(r"\b0\.1\b.{0,60}reranking\.mmr\.weight", text)
    assert "0.4 0.1600 −20.0% 0.9000 +80.0% 0.3000" in text
    [drawing] = [each for each in svgs(page.render(full)) if "against" in each]
    assert drawing.count("configured") == 2  # in the title of the drawing and beside the point
    assert drawing.count("<circle") == 3
    without = full.evaluation | {"trade_off": None}
    assert "Accuracy against diversity" in text
    assert "Accuracy against diversity" not in text_of(replace(full, evaluation=without))


def test_the_inputs_of_a_ranker_are_listed_and_their_importance_is_drawn(full):
    networks = full.ranking | {"inputs": ["hour", "days_since_released"]}
    assert "Inputs: hour, days_since_released." in text_of(replace(full, ranking=networks))
    importance = {"retrieval_score": 0.6, "days_since_released": 0.3, HOSTILE: 0.1, "hour": 0.0}
    trees = networks | {"model": "trees", "importance": importance}
    document = page.render(replace(full, ranking=trees))
    text = " ".join(" ".join(parsed(document).text).split())
    assert "retrieval_score 60.0% days_since_released 30.0%" in text
    assert "Unused inputs: hour." in text
    assert "Inputs: " not in text
    assert 'style="width:50.00%"' in document  # the width relative to the largest value
    assert HOSTILE not in document


def test_a_ranker_that_kept_the_retriever_s_order_says_so(full):
    sentence = "the ranker keeps that order"
    assert sentence in text_of(replace(full, ranking=full.ranking | {"kept_retrievers_order": True}))
    assert sentence not in text_of(replace(full, ranking=full.ranking | {"kept_retrievers_order": False}))
    assert sentence not in text_of(full)


def test_figures_are_those_of_the_evaluation(full):
    row = full.evaluation["steps"]["two_step"]["models"]["retrieval"]["ndcg@5"]
    assert f"{row['mean']:.4f} {row['low']:.4f} to {row['high']:.4f}" in text_of(full)


def test_is_one_sound_self_contained_document(full):
    document = page.render(full)
    found = parsed(document)
    assert document.startswith("<!doctype html>")
    assert len(found.ids) == len(set(found.ids))
    assert "script" not in found.tags
    assert not {"link", "iframe", "object"} & set(found.tags)
    assert set(re.findall(r'(?:src|href)="(.{5})', document)) <= {"data:", *(f"#{each}"[:5] for each in found.ids)}
    assert "url(" not in document
    drawings = svgs(document)
    assert len(drawings) >= 6
    for drawing in drawings:
        assert ElementTree.fromstring(drawing).get("aria-label")


def test_links_lead_to_sections(full):
    document = page.render(full)
    assert set(re.findall(r'href="#(\w+)"', document)) == set(parsed(document).ids)


def test_hostile_names_stay_text(full):
    facts_ = replace(
        full,
        name=HOSTILE,
        held_back=HOSTILE,
        release=None,
        evaluation=evaluated(HOSTILE),
        tables={HOSTILE: full.tables["interactions"] | {"dropped": {HOSTILE: 1}, "ignored_columns": [HOSTILE]}},
        ranking={"model": HOSTILE, "settings": {HOSTILE: HOSTILE}, "curve": [{"epoch": 1, HOSTILE: 1.0}]},
        nodes=[(HOSTILE, HOSTILE, 1.0)],
        lineage_svg=f"<svg>{HOSTILE}</svg>",
    )
    document = page.render(facts_)
    found = parsed(document)
    assert "script" not in found.tags
    assert "<script" not in document
    assert " ".join(found.text).count(HOSTILE) >= 8
    for drawing in svgs(document):
        ElementTree.fromstring(drawing)


def test_held_back_says_why(full, evaluation_json):
    sentence = "Failed: two_step ndcg@5 is 0.1 and should be at least 0.2."
    verdict = {"rule": "two_step ndcg@5 at least 0.2", "passed": False, "sentence": sentence}
    facts_ = replace(
        full, release=None, held_back="the gate is shut", evaluation=evaluation_json | {"verdicts": [verdict]}
    )
    text = text_of(facts_)
    assert "Held back" in text
    assert "the gate is shut" in text
    assert verdict["sentence"] in text
    assert "Released" not in text
    text = text_of(replace(facts_, held_back=verdict["sentence"]))
    assert text.count(verdict["sentence"]) == 1  # only in the list of rules, not repeated as the reason
    assert "1 of 1 rules failed" in text


def test_what_a_run_did_not_come_to_is_said():
    bare = report.ReportFacts(name="demo", run_time="now", seed=1, candidates=10, held_back="it failed")
    text = text_of(bare)
    for part in ("evaluate the models", "read its tables", "train a model"):
        assert f"The run did not {part}." in text
    assert "it failed" in text


@pytest.mark.parametrize(
    "field", ["tables", "join", "retrieval", "ranking", "lists", "index", "nodes", "lineage_svg", "evaluation"]
)
def test_any_part_may_be_missing(full, field):
    missing = {"tables": {}, "nodes": ()}.get(field)
    assert text_of(replace(full, **{field: missing})) != text_of(full)


def test_best_of_a_row_is_marked(full):
    document = page.render(full)
    row = re.search(r'>NDCG</th><th scope="row" class="k">5</th>(.*?)</tr>', document)[1]
    assert re.findall(r'<td class="([^"]*)', row) == ["best subject"]  # only one of three cells is marked
    assert '>Novelty</th><th scope="row" class="k">5</th><td class="subject">' in document


@pytest.mark.parametrize(
    ("label", "low", "high", "word"),
    [
        ("ndcg@5", 0.1, 0.3, "better"),
        ("ndcg@5", -0.3, -0.1, "worse"),
        ("gini@5", -0.3, -0.1, "better"),
        ("novelty@5", 0.1, 0.3, "different"),
        ("ndcg@5", -0.1, 0.1, "no clear difference"),
        ("novelty@5", 1e-16, 3e-16, "no clear difference"),
        ("ndcg@5", None, None, "not measured"),
    ],
)
def test_a_difference_is_significance_by_its_interval(label, low, high, word):
    from pipeline.report.results import _significance

    mean = None if low is None else (low + high) / 2
    assert _significance({"mean": mean, "low": low, "high": high, "queries": 3}, label)[1] == word


def test_ceiling_needs_lists_as_long_as_the_candidates(full):
    assert "share of the ceiling" in text_of(full)
    assert "share of the ceiling" not in text_of(replace(full, candidates=50))


def test_every_metric_is_explained():
    assert set(glossary.METRICS) == set(metrics.METRICS)


def test_reads_the_folders_of_a_run(tmp_path, evaluation_json):
    folders = {node: tmp_path / node for node in facts.NODES}
    for node, folder in folders.items():
        folder.mkdir()
        (folder / facts._FILES[node]).write_text(json.dumps({"of": node}))
    folders["CandidateIndex"] = tmp_path / "gone"
    del folders["UserGen"], folders["ImpressionGen"]
    found = report.facts_of_run(
        folders, name="demo", run_time="now", seed=1, candidates=10, release=None, held_back="why"
    )
    assert found.evaluation == {"of": "TwoStepEvaluator"}
    assert found.tables == {"interactions": {"of": "InteractionGen"}, "items": {"of": "ItemGen"}}
    assert (found.join, found.lists, found.impressions) == ({"of": "EventJoiner"}, {"of": "CandidateGenerator"}, None)
    assert (found.retrieval, found.ranking) == ({"of": "RetrievalTrainer"}, {"of": "RankingTrainer"})
    assert found.index is None


def test_impressions_are_reported_if_there_is_a_table_of_them(tmp_path, full):
    counts = {"rows": 900, "dropped": {"unknown_item": 2}, "not_chosen": 1_234}
    folders = {"CandidateGenerator": tmp_path / "lists", "ImpressionGen": tmp_path / "table"}
    for node, written in (
        ("CandidateGenerator", full.lists | {"impressions": counts}),
        ("ImpressionGen", {"of": "it"}),
    ):
        folders[node].mkdir()
        (folders[node] / facts._FILES[node]).write_text(json.dumps(written))
    found = report.facts_of_run(folders, name="demo", run_time="now", seed=1, candidates=10, release=None)
    assert (found.lists, found.impressions, found.tables) == (full.lists, counts, {"impressions": {"of": "it"}})
    document = page.render(replace(full, impressions=counts))
    assert "Dropped impressions: 2 unknown item (0.2%)" in document
    assert "1,234" in document
    assert "impressions" not in page.render(full)


def test_what_the_terminal_says_of_the_tables(full):
    assert data_lines(full) == [
        "spans       7, 8   (interactions)",
        "dropped     interactions: 7 of 1,204 rows (0.58%: 4 invalid_key, 3 unknown_item)",
    ]
    clean = {"rows_read": 9, "dropped": {}, "spans": []}
    shown = {"rows": 5, "dropped": {"unknown_user": 2}, "not_chosen": 1}
    impressions = replace(full, tables={"users": clean, "impressions": clean}, impressions=shown)
    assert data_lines(impressions) == ["dropped     impressions: 2 of 9 rows (22.22%: 2 unknown_user)"]


def test_writes_whole_or_not_at_all(tmp_path, full):
    path = tmp_path / "report.html"
    report.write(path, full)
    before = path.read_text(encoding="utf-8")
    assert before == page.render(full)
    with pytest.raises(UnicodeEncodeError):  # a lone surrogate, which UTF-8 cannot encode
        report.write(path, replace(full, name="\ud800"))
    assert path.read_text(encoding="utf-8") == before
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
