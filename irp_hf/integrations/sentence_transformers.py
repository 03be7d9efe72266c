"""Target-space vectors from `SentenceTransformer.encode`: the translation as one more module of the model.

    SentenceTransformer(modules=[*encoder, IRPTranslation(adapter)])

saves, loads and pushes as any other. sentence-transformers asks for `trust_remote_code=True` where it loads a module
that is not its own, and then imports the installed irp_hf; the saved folder holds numbers and no code of ours.
"""

from __future__ import annotations

import os
import sys
import warnings
import weakref
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from irp_hf.data.arrays import first_not_finite
from irp_hf.data.canary import Canary
from irp_hf.disk.reading import check_place
from irp_hf.encoding.base import Encoder
from irp_hf.encoding.canary import difference
from irp_hf.encoding.looks import Look
from irp_hf.encoding.lost import are_all_lost
from irp_hf.errors import DamagedFolderError, InputError, kind_of, missing, refusal, shown, warn
from irp_hf.heads.head import evaluation_mode
from irp_hf.hub.errors import hub_errors
from irp_hf.models.adapter import IRPAdapter
from irp_hf.records import EncoderRecord

try:
    from sentence_transformers.base.model import BaseModel
    from sentence_transformers.base.modules import Module
    from sentence_transformers.util import batch_to_device
except ImportError as error:
    raise missing("IRPTranslation", "sentence-transformers>=6", "irp_hf[sentence-transformers]") from error


EMBEDDING, TOKENS = "sentence_embedding", "input_ids"  # in what modules hand on
COMPARED = ("prompt", "normalize", "pooling", "task", "max_length")


class IRPTranslation(Module):
    """The last module of a source encoder, or of one route of a `Router`: vectors `(n, d_X)` become `(n, d_Y)`.

    `encode` then gives `adapter.translate(encoder.encode(...))`, in the encoder's dtype and equal to its rounding: they
    multiply batches of other sizes. A half-precision encoder is translated in float32 and rounded once. Token
    embeddings stay the encoder's own. What compares vectors of the target suits the result: its similarity function,
    its truncation, and a `Normalize` module behind this one if the target ends with one.
    """

    config_keys = ["source_size", "target_size", "method"]
    adapter: IRPAdapter

    def __init__(self, adapter: IRPAdapter | str | os.PathLike[str]) -> None:
        """Take an adapter, or load one from a folder or the Hub; raises `InputError` for anything else."""
        super().__init__()  # type: ignore[no-untyped-call]
        if isinstance(adapter, str | os.PathLike):
            adapter = IRPAdapter.from_pretrained(adapter)
        if not isinstance(adapter, IRPAdapter):
            expected, advice = "an IRPAdapter, or the folder or id of one", "Make one with IRPAdapter.connect."
            raise refusal("adapter", expected, kind_of(adapter), advice)
        self.adapter = adapter
        self._watched: _Watched | None = None

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Translate `features["sentence_embedding"] (n, d_X)`; gradients flow.

        Raises `InputError` where there is none or it has another width, and for NaN or infinity.
        """
        embedding: Tensor | None = features.get(EMBEDDING)
        if embedding is None:
            expected, got = f"a {EMBEDDING} of the modules before it", f"only {', '.join(features) or 'nothing'}"
            raise refusal("IRPTranslation", expected, got, "Put a Pooling module before it.")
        watched = self._watched
        model = None if watched is None or torch.is_grad_enabled() else watched.model
        if watched is not None and model is not None and len(embedding):
            if not watched.look.is_still_so(len(embedding)):
                self._warn_of_another(model, watched.encoder)
            watched.prompt.warn_of_another(model, features)
        try:
            features[EMBEDDING] = self.adapter(embeddings=self._as_recorded(embedding)).translated
        except InputError as error:
            vectors = embedding.detach()
            lost = None if are_all_lost(vectors) else first_not_finite(vectors)  # else it is the encoder's own fault
            if lost is not None and (text := self._text(features, lost[0])):
                advice = "Leave such texts out, or encode it alone to see the cause."
                raise refusal(f"The text {text}", "a vector of finite numbers", lost[1], advice) from error
            raise
        return features

    def _text(self, features: dict[str, Any], row: int) -> str | None:
        """The text of a row of a batch as its tokens tell it, with what was put in front; None where they do not."""
        first: Any = None if self._watched is None else self._watched.encoder[0]
        try:
            return shown(first.tokenizer.decode(_rows(features)[row], skip_special_tokens=True))
        except Exception:  # other items, or another kind of tokenizer
            return None

    def _as_recorded(self, embedding: Tensor) -> Tensor:
        """Cut as the source's anchors were cut, whatever the model does behind this module."""
        record, width = self.adapter.config.source_record, embedding.shape[-1]
        if record.truncate_dim is None or record.truncate_dim > width:
            self._check_width(width)
            return embedding
        cut = embedding[..., : record.truncate_dim]
        self._check_width(cut.shape[-1])
        return nn.functional.normalize(cut, dim=-1) if record.normalize else cut

    def on_model_ready(self, model: BaseModel) -> None:
        """Look at the finished model: refuse an encoder of another width, warn of one that encodes otherwise.

        What sentence-transformers calls at the end of its constructor. Raises `InputError`. An encoder that is edited later
        on is looked at once more when it encodes next.
        """
        encoder = list(_modules_before(self, model))
        measures = [getattr(module, "get_embedding_dimension", None) for module in encoder]
        widths = [width for measure in measures if measure and (width := measure()) is not None]
        if not widths:
            return
        record = self.adapter.config.source_record
        self._check_width(min(widths[-1], record.truncate_dim or widths[-1]))
        for told in _differences(record, model, self, encoder):
            _warn(f"The adapter's source anchors were encoded with {told}. Encode both alike")
        self._warn_of_another(model, encoder)

    def _warn_of_another(self, model: BaseModel, encoder: list[nn.Module]) -> None:
        """Warn of an encoder that makes other vectors of the anchors' texts, and watch it from now on."""
        self._watched = None  # while it encodes
        if got := self._unlike_the_anchors(model, encoder):
            _warn(
                f"The adapter's source anchors are of another encoder: of some of them, the model makes {got}. Take theirs"
            )
        self._watched = _Watched(model, encoder, self.adapter.config.source_record, self._kept_texts())

    def _kept_texts(self) -> list[str]:
        """The anchors' texts that the adapter has kept."""
        canary = Canary.from_dict(self.adapter.config.source_canary, "source_canary")
        return [item for item in canary.items if isinstance(item, str)] if canary is not None else []

    def __getstate__(self) -> dict[str, Any]:
        """Without the modules before it, which belong to the model."""
        return {**vars(self), "_watched": None}

    def _unlike_the_anchors(self, model: BaseModel, encoder: list[nn.Module]) -> str | None:
        """How the model encodes the texts that the adapter has kept otherwise than they were; None where it cannot be told."""
        config = self.adapter.config
        canary = Canary.from_dict(config.source_canary, "source_canary")
        if canary is None or not isinstance(canary.items[0], str) or not hasattr(encoder[0], "preprocess"):
            return None
        first: Any = encoder[0]
        prompt = config.source_record.prompt or ""

        def embed(texts: list[Any]) -> Tensor:
            features = batch_to_device(first.preprocess(texts, prompt=prompt), model.device)
            for module in encoder:
                features = module(features)
            return self._as_recorded(features[EMBEDDING])

        with evaluation_mode(model):
            return difference(canary, self.adapter.source_anchors, Encoder(embed, config.source_record))

    def _check_width(self, width: int) -> None:
        source_size, encoder = self.adapter.config.source_size, self.adapter.config.source_record.id
        if width != source_size:
            expected = f"vectors {source_size} wide, from which the adapter translates"
            its = f"{encoder}, whose anchors these are" if encoder else "the encoder whose anchors these are"
            raise refusal("The encoder", expected, f"{width}", f"Take {its}, or an adapter of this encoder.")

    def get_embedding_dimension(self) -> int:
        """The width d_Y of the target."""
        return int(self.adapter.config.target_size)

    def get_config_dict(self) -> dict[str, Any]:
        """What `print` shows; the adapter saves its own configuration."""
        return {key: getattr(self.adapter.config, key) for key in self.config_keys}

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Save the adapter into the module's folder; always as safetensors."""
        self.adapter.save_pretrained(output_path)

    @classmethod
    def load(  # type: ignore[override]
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Load the adapter from the module's folder, here or on the Hub, without a refit.

        Raises `DamagedFolderError` where it is missing, incomplete or altered, `HubError` where the Hub does not give it.
        """
        place = check_place(model_name_or_path)
        with hub_errors(place, revision):
            folder = cls.load_dir_path(
                place, subfolder, token, cache_folder, revision=revision, local_files_only=local_files_only
            )
        if folder is None:
            expected, got = f"a folder {subfolder!r} with the adapter", "none"
            raise refusal(model_name_or_path, expected, got, "Save or download it again.", DamagedFolderError)
        return cls(folder)


class _Watched:
    """A model and its encoder as it was looked at; no part of the module that looks."""

    def __init__(
        self, model: BaseModel, encoder: list[nn.Module], recorded: EncoderRecord, texts: Sequence[str] = ()
    ) -> None:
        self._model, self.encoder = weakref.ref(model), encoder
        self.prompt = _Prompt(recorded, encoder, texts)
        tokenizers = (getattr(encoder[0], "processor", None), getattr(encoder[0], "tokenizer", None))
        self.look = Look(nn.ModuleList(encoder), [one for one in tokenizers if one is not None][:1])

    @property
    def model(self) -> BaseModel | None:
        """None where it is no more."""
        return self._model()


class _Prompt:
    """What was put in front of the anchors, told apart by its tokens from what stands in front of the texts of a call.

    Which prompt a call names, no module is told, and a text may have it in itself: only the tokens that the encoder is given
    count, and which of them it leaves out of its pooling.
    """

    def __init__(self, recorded: EncoderRecord, encoder: list[nn.Module], texts: Sequence[str]) -> None:
        """Of the record of the anchors, the encoder, whose first module reads texts, and some of the anchors' texts."""
        self.text = (recorded.prompt or "") if recorded.knows("prompt") else None
        self._first: Any = encoder[0]
        self._texts = texts
        self.tokens = _prompt_tokens(self._first, self.text) if self.text else []
        """None where that module does not tell."""
        parts = [part for module in encoder for part in module.modules()]
        self._left_out = any(getattr(part, "include_prompt", True) is False for part in parts)
        self._told = False

    def warn_of_another(self, model: BaseModel, features: dict[str, Any]) -> None:
        """Warn, once, of a batch that begins otherwise, and name the call that puts the right prompt in front."""
        if self._told or self.text is None or self.tokens is None or self._is_alike(features):
            return
        self._told = True
        length = _length(features)
        then = f"prompt={self.text!r}" if self.text else "no prompt"
        now = "another prompt" if length and self.text else "one" if length else "none"
        name = next((name for name, prompt in model.prompts.items() if prompt == self.text), None)
        call = f"prompt={self.text!r}" if name is None or not self.text else f"prompt_name={name!r}"
        words = zip(*(text.split() for text in self._texts), strict=False) if len(self._texts) > 1 else ()
        front = " ".join(same[0] for same in takewhile(lambda column: len(set(column)) == 1, words))
        of_texts = f", of texts that begin as the anchors' do: {shown(front)}" if front else ""
        warn(
            f"The adapter's source anchors were encoded with {then}, and these texts have {now} in front: their translations "
            f"will be worse than reported. Call encode(texts, {call}){of_texts}."
        )

    def _is_alike(self, features: dict[str, Any]) -> bool:
        """Whether the texts of a batch begin as the anchors' do; also where their tokens are not told."""
        length = _length(features)
        if self._left_out and bool(length) != bool(self.text):
            return False  # a prompt in the texts themselves is pooled with them
        if not length and not self.text:
            return True
        if not isinstance(features.get(TOKENS), Tensor):
            return bool(length) == bool(self.text)
        if self.text:
            wanted = self.tokens or []
            return all(row[: len(wanted)] == wanted for row in _rows(features))
        return self._is_in_the_anchors(_rows(features)[0], length)

    def _is_in_the_anchors(self, row: list[int], length: int) -> bool:
        """Whether an anchor's own text begins with the `length` tokens that a call put in front of one.

        The last one of a prompt may have grown together with the text, so it counts only where it is the only one.
        """
        try:
            anchors = _rows(self._first.preprocess(list(self._texts), prompt="")) if self._texts else []
            always = _shared(*(_rows(self._first.preprocess([text], prompt=""))[0] for text in ("a", "b")))
        except Exception:  # it reads texts in another way
            return False
        return any(_shared(row, anchor) >= max(length - 1, always + 1) for anchor in anchors)


def _prompt_tokens(first: Any, prompt: str) -> list[int] | None:
    """The numbers of the tokens that any text begins with behind a prompt; None where the module that reads it does not tell.

    The last one of a prompt may grow together with the text.
    """
    try:
        two = [first.preprocess([text], prompt=prompt) for text in ("a", "b")]
        one, other = (_rows(features)[0][: _length(features)] for features in two)
    except Exception:  # it reads no texts, or they are read in another way
        return None
    return one[: _shared(one, other)] or None


def _shared(one: list[int], other: list[int]) -> int:
    """How many tokens two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _rows(features: dict[str, Any]) -> list[list[int]]:
    """The tokens of each text of a batch, without what it is padded with."""
    ids, mask = features[TOKENS], features.get("attention_mask")
    if not isinstance(mask, Tensor) or mask.shape != ids.shape:
        return [row.tolist() for row in ids]
    return [row[kept].tolist() for row, kept in zip(ids, mask.bool(), strict=True)]


def _length(features: dict[str, Any]) -> int:
    """How many tokens of a batch are a prompt, by a number or a tensor that holds it for each row; 0 where nothing is said."""
    length = features.get("prompt_length")
    return int(length.reshape(-1)[0]) if isinstance(length, Tensor) else int(length or 0)


def _modules_before(module: nn.Module, model: nn.Module) -> Iterator[nn.Module]:
    """What comes before `module` in its sequence: the model's own or a route of a `Router`."""
    for sequence in model.modules():
        if isinstance(sequence, nn.Sequential) and any(child is module for child in sequence):
            return takewhile(lambda child: child is not module, sequence)
    return iter(())


def _warn(what: str) -> None:
    warnings.warn(f"{what}, or the translations will be worse than reported.", stacklevel=3)


def _route_of(module: nn.Module, model: nn.Module) -> str | None:
    """The route of a `Router` that holds a module; None where there are no routes."""
    for router in model.modules():
        for name, route in getattr(router, "sub_modules", nn.ModuleDict()).items():
            if any(part is module for part in route.modules()):
                return str(name)
    return None


def _differences(
    recorded: EncoderRecord, model: BaseModel, translation: nn.Module, encoder: list[nn.Module]
) -> Iterator[str]:
    """How the anchors were encoded and the model does not encode, in words; what was not recorded cannot differ."""
    kinds = {type(part).__name__: part for module in encoder for part in module.modules()}
    prompt = model.prompts.get(model.default_prompt_name or "")
    if (one := recorded.prompt or prompt) and _prompt_tokens(encoder[0], one):
        prompt = recorded.prompt  # a call may name it, or its texts have it in themselves; who has another is told then
    pooling = getattr(kinds.get("Pooling"), "pooling_mode", None)
    unit = "Normalize" in kinds or (recorded.truncate_dim is not None and recorded.normalize)
    its = EncoderRecord.of(prompt=prompt, normalize=bool(unit), pooling=pooling)
    if (route := _route_of(translation, model)) is not None:
        its = its.with_values(task=route)
    length = getattr(encoder[0], "max_seq_length", None)
    if isinstance(length, int) and length < sys.maxsize:
        its = its.with_values(max_length=length)
    for name, then, now in recorded.differences(its, COMPARED):
        yield f"{name}={then!r}, the model has {name}={now!r}"
