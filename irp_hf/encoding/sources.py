"""A transformers model and its processors: stored in a folder or on the Hub, or loaded already."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoImageProcessor, AutoModel, AutoTokenizer
from transformers.feature_extraction_utils import FeatureExtractionMixin
from transformers.image_processing_base import ImageProcessingMixin
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.processing_utils import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from irp_hf.arithmetic import check_evaluating
from irp_hf.checkpoints.budget import budget_of
from irp_hf.checkpoints.limits import check_processor, check_sizes
from irp_hf.checkpoints.repository import Repository, loading, remote_class
from irp_hf.checkpoints.tokenizers import check_loaded, check_tokenizer
from irp_hf.data.items import need_pillow
from irp_hf.encoding.base import Options
from irp_hf.errors import kind_of, refusal

# Weights that training alone uses: what stands where a part of the input is hidden.
TRAINING_ONLY = ("mask_token", "masked_spec_embed")
PROCESSORS: dict[str, Any] = {
    "tokenizer": PreTrainedTokenizerBase,
    "image_processor": ImageProcessingMixin,
    "feature_extractor": FeatureExtractionMixin,
}


class Source(Protocol):
    """Where the parts of a model come from."""

    name: str
    commit: str | None
    config: Any

    @property
    def classes(self) -> list[str]:
        """The classes of what it is, by name: those that the configuration of a stored one names, a loaded one's own."""

    @property
    def model_class(self) -> type:
        """The class of the model that `model()` gives."""

    def model(
        self, auto_class: Any = AutoModel, part: Callable[[Any], nn.Module] = ..., unused: str = "", advice: str = ""
    ) -> Any:
        """The model in eval mode; weights of `part` whose names do not hold `unused` must all be there, else see `advice`."""

    def processor(self, kind: str) -> Any:
        """Its "tokenizer", "image_processor" or "feature_extractor"."""


def _whole(model: Any) -> nn.Module:
    return model  # type: ignore[no-any-return]


def encoder_part(model: Any) -> Any:
    """The encoder of an encoder-decoder; any other model as it is."""
    return model.get_encoder() if model.config.is_encoder_decoder else model


class Stored:
    """A model in a folder or on the Hub: safetensors only, and its own code only where the user trusts it."""

    def __init__(self, repository: Repository, options: Options) -> None:
        self.name, self.commit, self._path = repository.name, repository.commit, repository.path
        self._device, self._device_map, self._dtype = options.device, options.device_map, options.dtype or "auto"
        self._variant = repository.variant
        self._hub = repository.keywords(options.token, options.trust_remote_code)
        self._repository, self._token = repository, options.token
        check_sizes(repository, options.token)
        with loading(self.name):
            self.config = AutoConfig.from_pretrained(self._path, **self._hub)

    @property
    def classes(self) -> list[str]:
        """Those that its configuration names."""
        named = self.config.architectures
        return [name for name in named if isinstance(name, str)] if isinstance(named, list | tuple) else []

    @cached_property
    def model_class(self) -> type:
        """What `AutoModel` makes of it."""
        with loading(self.name):
            if remote := remote_class(self.config, "AutoModel", self._path, self._hub):
                return remote
            if type(self.config) not in MODEL_MAPPING:
                raise ValueError(f"AutoModel knows no {self.config.model_type!r}")
            found: Any = MODEL_MAPPING[type(self.config)]
        kind: type = found[0] if isinstance(found, tuple | list) else found
        return kind

    def model(
        self,
        auto_class: Any = AutoModel,
        part: Callable[[Any], nn.Module] = _whole,
        unused: str = "",
        advice: str = "Name another pooling or another checkpoint.",
    ) -> Any:
        """Load it, to its device; raise `InputError` where transformers would fill a part with random weights."""
        with loading(self.name), budget_of(self._repository, self._token):
            model, info = auto_class.from_pretrained(
                self._path,
                dtype=self._dtype,
                device_map=self._device_map,
                use_safetensors=True,
                variant=self._variant,
                output_loading_info=True,
                **self._repository.lora_kwargs,
                **self._hub,
            )
        used = {id(weight) for weight in part(model).parameters()}
        theirs = {name for name, weight in model.named_parameters() if id(weight) not in used}
        ignored = (*TRAINING_ONLY, *([unused] if unused else []))
        random = sorted(key for key in set(info["missing_keys"]) - theirs if not any(word in key for word in ignored))
        if random:
            got = f"none for {random[0]}, which would be random ({len(random)} missing in all)"
            raise refusal(self.name, "weights for all its parts", got, advice)
        return model if self._device_map else model.to(_device(self._device))

    def processor(self, kind: str) -> Any:
        """Load it; pictures by Pillow alone, which gives the same pixels everywhere."""
        if kind == "tokenizer":
            known = check_tokenizer(self._repository, self._token)
            with loading(self.name):
                tokenizer = AutoTokenizer.from_pretrained(self._path, **self._hub)
            if not known:
                check_loaded(self.name, tokenizer)
            return tokenizer
        check_processor(self._repository, self._token)
        if kind == "image_processor":
            need_pillow()
            with loading(self.name):
                return AutoImageProcessor.from_pretrained(self._path, backend="pil", **self._hub)
        with loading(self.name):
            return AutoFeatureExtractor.from_pretrained(self._path, **self._hub)


class Loaded:
    """A model object, and the processor that was given with it."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model, processor
        self.config = model.config
        self.name = getattr(self.config, "_name_or_path", "") or type(model).__name__
        self.name = Repository(self.name, None, False).name
        self.commit = getattr(self.config, "_commit_hash", None)
        self.model_class = type(model)
        self.classes = [type(model).__name__]
        check_evaluating(type(model).__name__, model)

    def model(
        self, auto_class: Any = None, part: Callable[[Any], nn.Module] = _whole, unused: str = "", advice: str = ""
    ) -> Any:
        """It as it is."""
        return self._model

    def processor(self, kind: str) -> Any:
        """The one that was given, or its part of that kind."""
        given = self._processor
        found = getattr(given, kind, None) if isinstance(given, ProcessorMixin) else given
        if not isinstance(found, PROCESSORS[kind]):
            expected = f"{'an' if kind[0] == 'i' else 'a'} {kind.replace('_', ' ')} for {type(self._model).__name__}"
            raise refusal(
                "processor", expected, kind_of(given), "Pass processor=, loaded from where the model is from."
            )
        return found


def _device(device: str | torch.device | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
