"""Where there is a GPU: stitched pipelines run on it, and answer as on the CPU."""

import pytest
import stitched
import torch
from transformers import pipeline

pytestmark = pytest.mark.skipif(not torch.accelerator.is_available(), reason="needs a GPU")
MODALITIES = ("text", "image", "audio")


@pytest.mark.parametrize("placed", [{"device": 0}, {"device_map": "auto"}, {}])
@pytest.mark.parametrize("modality", MODALITIES)
def test_a_stitched_pipeline_on_the_gpu_answers_as_on_the_cpu(modality, placed, classifiers):
    """If it fails, encoder, adapter and head lie on different devices, or answer otherwise there."""
    folder = classifiers[modality]
    adapter = stitched.identity(stitched.record(folder.name, modality))
    items = stitched.items(modality)
    here, there = (
        pipeline("irp-stitch", model=adapter, encoder=folder, head=folder, **options)
        for options in ({"device": "cpu"}, placed)
    )
    assert there.device.type == torch.accelerator.current_accelerator().type
    for found, wanted in zip(there(items, top_k=1), here(items, top_k=1), strict=True):
        assert found[0]["label"] == wanted[0]["label"]
        assert found[0]["score"] == pytest.approx(wanted[0]["score"], abs=1e-3)
