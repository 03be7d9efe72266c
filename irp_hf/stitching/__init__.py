"""Encoder, adapter and head as one model, the pipeline "irp-stitch", and queries into an old index."""

from irp_hf.stitching.bridge import Bridge, Weighed
from irp_hf.stitching.model import StitchedModel, StitchedOutput
from irp_hf.stitching.pipeline import IRPStitchPipeline

__all__ = ["Bridge", "IRPStitchPipeline", "StitchedModel", "StitchedOutput", "Weighed"]
