"""Encoder, adapter and head as one model, and the pipeline "irp-stitch"."""

from irp_hf.stitching.model import StitchedModel, StitchedOutput
from irp_hf.stitching.pipeline import IRPStitchPipeline

__all__ = ["IRPStitchPipeline", "StitchedModel", "StitchedOutput"]
