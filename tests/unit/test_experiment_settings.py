"""The settings of an experiment: what is refused, and how the error names it."""

import pytest

from core.errors import UsageError
from pipeline.config import experiment_file
from serving.experiments.settings import Arm, Experiment
from serving.rerank.settings import Reranking
from serving.settings import ServingSettings

HALVES = "{label: a, share: 0.5}, {label: b, share: 0.5"
WRONG = [
    ("name: e\narms: [" + HALVES + ", candidates: 0}]", "arms.1.candidates: should be greater than or equal to 1"),
    ("name: e\narms: [" + HALVES + ", reranking: {mmr: {weigh: 1}}}]", "arms.1.reranking.mmr.weigh: is not a known"),
    (
        "name: e\narms: [" + HALVES + ", candidate: 5}]",
        "arms.1.candidate: is not a known key. Did you mean",
    ),
    ("name: e\narms: [{label: a, share: 0.5}, {label: b, share: 0.4}]", "the shares should sum to 1; found 0.9"),
    (
        "name: e\narms: [{label: a, share: 1.5}, {label: b, share: -0.5}]",
        "arms.0.share: should be less than or",
    ),
    (
        "name: e\narms: [{label: a, share: 0.5}, {label: a, share: 0.5}]",
        "labels should differ; found 'a' more",
    ),
    ("name: e\narms: [{label: a, share: 1}]", "arms: "),
    ("name: e\narms: [{label: a b, share: 0.5}, {label: b, share: 0.5}]", "arms.0.label: "),
    ("name: ''\narms: [" + HALVES + "}]", "name: "),
    ("arms: [" + HALVES + "}]", "name: is required but missing"),
    (
        "name: e\narms: [{label: a, share: 0.5, candidates: 5}, {label: b, share: 0.5, release: v}]",
        "one arm should have neither `release` nor `candidates` nor `reranking`",
    ),
    ("- name", "should be a mapping with `name` and `arms`; found list"),
    ("name: [", "is not valid YAML"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_file_is_refused_with_its_key(tmp_path, text, message):
    file = tmp_path / "e.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        experiment_file.load(file)
    assert str(error.value).startswith(f"{file}: ")
    assert message in str(error.value)


def test_the_champion_is_the_first_arm_without_changes(tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text(
        "name: e\narms:\n  - {label: more, share: 0.3, candidates: 9}\n  - {label: now, share: 0.3}\n"
        "  - {label: same, share: 0.3}\n  - {label: old, share: 0.1, release: v1}\n"
    )
    read = experiment_file.load(file)
    assert (read.champion, read.labels, read.shares) == (1, ("more", "now", "same", "old"), (0.3, 0.3, 0.3, 0.1))
    assert [each.changes_settings for each in read.arms] == [True, False, False, False]
    assert read == Experiment.model_validate(read.model_dump())


def test_an_arm_replaces_its_own_settings_only():
    settings = ServingSettings(name="n", features={}, candidates=50, exclude_seen=True)
    assert Arm(label="a", share=1).applied(settings) == settings
    changed = Arm(label="a", share=1, candidates=7).applied(settings)
    assert changed == settings.model_copy(update={"candidates": 7})
    mmr = Reranking.model_validate({"mmr": {"weight": 0.5}})
    assert Arm(label="a", share=1, reranking=mmr).applied(settings).reranking == mmr
