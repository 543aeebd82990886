"""The resources of nodes in a configuration."""

import re

import pytest
from configurations import check_refused, load

from core import node_ids

L4 = "{cpu: 4, memory_gb: 16, accelerator: nvidia-l4, accelerators: 2}"


def test_resources_are_typed_and_one_accelerator_is_the_default(tmp_path):
    loaded = load(tmp_path, f"resources: {{RetrievalTrainer: {L4}, Transform: {{accelerator: nvidia.com/gpu}}}}")
    trainer, transform = loaded.resources["RetrievalTrainer"], loaded.resources["Transform"]
    assert (trainer.cpu, trainer.memory_gb, trainer.accelerator, trainer.number_of_accelerators) == (
        *(4.0, 16.0),
        *("nvidia-l4", 2),
    )
    assert (transform.cpu, transform.number_of_accelerators) == (None, 1)
    assert load(tmp_path, "{}").resources == {}


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ("{RetrivalTrainer: {cpu: 1}}", "resources.RetrivalTrainer … `RetrievalTrainer` … CandidateIndex"),
        ("{ImpressionGen: {cpu: 1}}", "resources.ImpressionGen"),
        ("{Transform: {cpu: 0}}", "resources.Transform.cpu … above 0"),
        ("{Transform: {memory: 1}}", "resources.Transform.memory … `memory_gb`"),
        ("{Transform: {accelerators: 1}}", "resources.Transform … needs `accelerator`"),
        ("{Transform: {accelerator: x, accelerators: 0}}", "resources.Transform … at least 1"),
        ("{Transform: {accelerator: 'a b'}}", "resources.Transform.accelerator … nvidia-l4"),
    ],
)
def test_wrong_resources_name_the_key(tmp_path, resources, message):
    check_refused(tmp_path, f"resources: {resources}", message)


def test_the_nodes_are_those_of_the_dag(root):
    recorded = (root / "tests/golden/dag.txt").read_text(encoding="utf-8")
    nodes = re.findall(r"^(\w+): \S+$", recorded, flags=re.MULTILINE)
    assert sorted(node_ids.of_dag(("interactions", "users", "items"))) == sorted(nodes)
