"""An adapter, scored by MTEB's own runner on any of its tasks, or on rows of your own.

`mteb.evaluate(IRPEncoder(bridge), tasks)`; `irp_hf.integrations.mteb_tasks` makes tasks of rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import Unpack, override

from irp_hf.errors import missing, refusal, shown
from irp_hf.integrations.embedders import BridgeLike, Vectors, bridge_of
from irp_hf.stitching import Bridge

try:
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ModelMeta, ScoringFunction
    from mteb.types import PromptType
except ImportError as error:
    raise missing("IRPEncoder", "mteb>=2.26", "irp_hf[mteb]") from error

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import BatchedInput, EncodeKwargs
    from torch.utils.data import DataLoader

MODALITIES = ("text", "image", "audio")


class IRPEncoder(AbsEncoder):
    """A bridge as a model of MTEB.

    What comes in use is encoded by the new encoder and translated: queries, the test rows of a classification, all rows of
    other tasks. What stood there before is made by the old encoder where the bridge has one, and else translated: documents,
    and the rows that a classifier is trained on. So with an old encoder and weight 1 a classification is the score of its heads
    on an encoder that they never saw, and a retrieval that of new queries in its index.

    All items are encoded as the adapter's anchors were: MTEB's own prompts are put in front of none. Results are cached under a
    revision that is a digest of adapter, encoders and weight.
    """

    mteb_model_meta: ModelMeta

    def __init__(self, bridge: BridgeLike) -> None:
        """Take a `Bridge`, or an adapter, an object or a place, whose record names its encoder on the Hub.

        Raises `InputError` for anything else, and what `Bridge` raises.
        """
        self.bridge = bridge_of(bridge)
        self.mteb_model_meta = _meta(self.bridge)

    @override
    def encode(
        self,
        inputs: DataLoader[BatchedInput],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Unpack[EncodeKwargs],
    ) -> Vectors:
        """Vectors `(n, d_Y)` of the items of a task.

        Raises `InputError` for items of two kinds at once, for those that the encoders do not read, and for a `precision`.
        """
        if (precision := kwargs.get("precision", "float32")) != "float32":
            raise refusal("precision", "'float32'", shown(precision), "Leave it out; quantise what is encoded.")
        encode = self.bridge.encode_documents if _stands(task_metadata, hf_split, prompt_type) else self.bridge.encode
        size = kwargs.get("batch_size", 32)
        pieces = [encode(items, size, False) for items in _items(inputs, _kind(task_metadata, prompt_type))]
        return np.concatenate(pieces) if pieces else encode([], size, False)


def _stands(task: TaskMetadata, split: str, prompt_type: PromptType | None) -> bool:
    """Whether these items were there before: documents, or what a classifier or a regression is trained on."""
    trains = task.type.endswith(("Classification", "Regression")) and split not in task.eval_splits
    return prompt_type == PromptType.document or trains


def _kind(task: TaskMetadata, prompt_type: PromptType | None) -> str:
    """Of which modality the items are."""
    kinds = task.get_modalities(prompt_type)
    if len(kinds) != 1 or kinds[0] not in MODALITIES:
        got, advice = f"{' and '.join(kinds)} in {task.name}", "Choose tasks of one kind of item."
        raise refusal("Items of a task", "texts, pictures or audio alone", got, advice)
    return str(kinds[0])


def _items(inputs: Any, kind: str) -> Iterator[list[Any]]:
    """Texts all at once, for them to be sorted by their lengths, and a batch at a time what takes more memory."""
    batches = (list(batch[kind]) for batch in inputs)
    if kind != "text":
        yield from batches
    elif texts := [text for batch in batches for text in batch]:
        yield texts


def _meta(bridge: Bridge) -> ModelMeta:
    """What MTEB writes down of the model, and knows its results again by."""
    config, encoders = bridge.adapter.config, [bridge.encoder, bridge.old_encoder]
    names = [record.name.replace("/", "_") for record in (config.source_record, config.target_record)]
    kinds = [MODALITIES if e.modality is None else (e.modality,) for e in encoders if e is not None]
    told = [bridge.adapter.checksum(), bridge.weight, *(e and e.full_record().to_dict() for e in encoders)]
    values = {
        "name": f"irp_hf/{'_to_'.join(names)}",
        "revision": hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:40],
        "embed_dim": config.target_size,
        "similarity_fn_name": ScoringFunction.COSINE,
        "framework": ["PyTorch"],
        "modalities": sorted({kind for several in kinds for kind in several}),
    }
    return ModelMeta.create_empty(values)
