"""Feed a head or an index built for one encoder from another, with no training: inverse relative projection."""

from transformers import AutoConfig, AutoModel
from transformers.pipelines import PIPELINE_REGISTRY

from irp_hf.anchors.anchor_set import AnchorSet
from irp_hf.configuration_irp import AnchoredSpaceConfig, IRPConfig
from irp_hf.errors import (
    AnchorMismatchError,
    DamagedFolderError,
    DiscoveryError,
    HeadCutError,
    HubError,
    InputError,
    IRPError,
    MissingDependencyError,
)
from irp_hf.models.adapter import IRPAdapter
from irp_hf.models.finding import FoundSpace, find_spaces
from irp_hf.models.space import AnchoredSpace
from irp_hf.stitching.model import StitchedModel
from irp_hf.stitching.pipeline import IRPStitchPipeline, NoAdapterGiven

__version__ = "0.1.0"
__all__ = [
    "AnchorMismatchError",
    "AnchorSet",
    "AnchoredSpace",
    "AnchoredSpaceConfig",
    "DamagedFolderError",
    "DiscoveryError",
    "FoundSpace",
    "HeadCutError",
    "HubError",
    "IRPAdapter",
    "IRPConfig",
    "IRPError",
    "IRPStitchPipeline",
    "InputError",
    "MissingDependencyError",
    "StitchedModel",
    "find_spaces",
]

for _config, _model in ((AnchoredSpaceConfig, AnchoredSpace), (IRPConfig, IRPAdapter)):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModel.register(_config, _model, exist_ok=True)

if "irp-stitch" not in PIPELINE_REGISTRY.supported_tasks:
    PIPELINE_REGISTRY.register_pipeline(
        "irp-stitch",
        IRPStitchPipeline,
        pt_model=AutoModel,
        default={"model": (NoAdapterGiven(), None)},
        type="multimodal",
    )
