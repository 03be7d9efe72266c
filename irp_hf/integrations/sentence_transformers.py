"""Target-space vectors from `SentenceTransformer.encode`: the translation as one more module of the model.

    SentenceTransformer(modules=[*encoder, IRPTranslation(adapter)])

saves, loads and pushes as any other. sentence-transformers asks for `trust_remote_code=True` where it loads a module
that is not its own, and then imports the installed irp_hf; the saved folder holds numbers and no code of ours.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from irp_hf.checkpoints.repository import loading
from irp_hf.data.arrays import first_not_finite
from irp_hf.data.canary import Canary
from irp_hf.disk.reading import check_place
from irp_hf.encoding.base import Encoder
from irp_hf.encoding.canary import difference
from irp_hf.encoding.lost import are_all_lost
from irp_hf.errors import DamagedFolderError, InputError, kind_of, missing, refusal, shown, warn
from irp_hf.heads.head import evaluation_mode
from irp_hf.hub.errors import hub_errors
from irp_hf.integrations.watching import Watched, prompt_tokens, rows_of
from irp_hf.maths.projection import unit_rows
from irp_hf.models.adapter import IRPAdapter
from irp_hf.records import EncoderRecord

try:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.model import BaseModel
    from sentence_transformers.base.modules import Module, Normalize, Router
    from sentence_transformers.util import batch_to_device
except ImportError as error:
    raise missing("IRPTranslation", "sentence-transformers>=6", "irp_hf[sentence-transformers]") from error


EMBEDDING = "sentence_embedding"  # in what modules hand on
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
        self._watched: Watched | None = None

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
            return shown(first.tokenizer.decode(rows_of(features)[row], skip_special_tokens=True))
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
        """Warn of an encoder that makes other vectors of the anchors' texts, or has other weights, and watch it from now on."""
        record, before, self._watched = self.adapter.config.source_record, self._watched, None  # while it encodes
        watched = Watched(model, encoder, record, self._kept_texts())
        if got := self._unlike_the_anchors(model, encoder):
            _warn(
                f"The adapter's source anchors are of another encoder: of some of them, the model makes {got}. Take theirs"
            )
        elif changed := watched.content.differs(None if before is None else before.content, record):
            _warn(
                f"The model has {changed}; those of the anchors' texts that are known come out alike, and other texts may "
                "not. Encode the anchors again where it was changed on purpose"
            )
        self._watched = watched

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


SentenceEncoder = SentenceTransformer | str | os.PathLike[str]


def asymmetric_retriever(
    query_encoder: SentenceEncoder, document_encoder: SentenceEncoder, adapter: IRPAdapter | str | os.PathLike[str]
) -> SentenceTransformer:
    """One model whose queries are a small encoder's, translated, and whose documents are a large encoder's own.

        model = asymmetric_retriever("me/small-encoder", "me/large-encoder", "me/small-to-large")
        model.similarity(model.encode_query(questions), model.encode_document(passages))

    It saves, pushes and loads as any other, with `trust_remote_code=True`. Queries have the prompt that the adapter's source
    anchors were encoded with, or, where that is not known, the query encoder's default one; documents have the prompts, the
    similarity and the truncation of the document encoder, and `encode` without a task encodes documents. Queries are brought
    to unit length where documents are. The modules are those of both encoders, and no copies.

    Args:
        query_encoder: the adapter's source, or where it lies.
        document_encoder: the adapter's target, likewise.
        adapter: from the one to the other.

    Raises `InputError` for encoders that are not those of the adapter, as far as their widths tell, or that cannot be loaded,
    and warns of one that makes other vectors of the anchors of its side.
    """
    queries, documents = (_sentence_encoder(one) for one in (query_encoder, document_encoder))
    translation = IRPTranslation(adapter)
    width, cut = translation.get_embedding_dimension(), documents.get_embedding_dimension()
    if cut not in (None, width):
        whole = [size() for part in documents if (size := getattr(part, "get_embedding_dimension", None)) is not None]
        if width not in whole[-1:]:
            advice = "Take the encoder of the adapter's target anchors, or an adapter to this one."
            raise refusal("document_encoder", f"vectors {width} wide, as the adapter gives", f"{cut}", advice)
    _warn_of_other_documents(translation.adapter, documents)
    unit = isinstance([*documents][-1], Normalize)
    router = Router.for_query_document([*queries, translation, *([Normalize()] if unit else [])], [*documents])
    record = translation.adapter.config.source_record
    default, prompts = documents.default_prompt_name, {key: text or "" for key, text in documents.prompts.items()}
    if default == "query":  # which is now that of the other encoder
        default, prompts["default"] = "default", prompts["query"]
    own = queries.prompts.get(queries.default_prompt_name or "")
    return SentenceTransformer(
        modules=[router],
        device=str(documents.device),
        prompts={**prompts, "query": (record.prompt if record.knows("prompt") else own) or ""},
        default_prompt_name=default,
        similarity_fn_name=documents.similarity_fn_name,
        truncate_dim=documents.truncate_dim,
    )


def _sentence_encoder(encoder: Any) -> SentenceTransformer:
    """A model of sentence-transformers, or the one in a folder or on the Hub."""
    if isinstance(encoder, str | os.PathLike):
        place = check_place(encoder)
        with loading(place):
            return SentenceTransformer(place)
    if not isinstance(encoder, SentenceTransformer):
        advice = "Wrap it: SentenceTransformer(modules=[Transformer(folder), Pooling(width)])."
        raise refusal("encoder", "a SentenceTransformer, or the folder or id of one", kind_of(encoder), advice)
    return encoder


def _warn_of_other_documents(adapter: IRPAdapter, documents: SentenceTransformer) -> None:
    """Warn of a document encoder that makes other vectors of the target's anchors, whose lengths it may have changed."""
    config = adapter.config
    canary = Canary.from_dict(config.target_canary, "target_canary")
    if canary is None or not isinstance(canary.items[0], str):
        return
    options: dict[str, Any] = {"prompt": config.target_record.prompt or "", "truncate_dim": config.target_size}

    def embed(texts: list[Any]) -> Tensor:
        vectors = documents.encode_document(texts, convert_to_tensor=True, show_progress_bar=False, **options)
        return unit_rows(vectors.double())

    anchors = unit_rows(adapter.target_anchors.detach().double())
    with evaluation_mode(documents):
        got = difference(canary, anchors, Encoder(embed, config.target_record))
    if got is not None:
        warn(
            f"The adapter's target anchors are of another encoder: of some of them, the document encoder makes {got}. Take "
            "theirs, or queries are translated to a space in which no document lies."
        )


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
    route = _route_of(translation, model)  # whose name is that of its prompt, too
    prompt = model.prompts.get(route if route in model.prompts else model.default_prompt_name or "") or None
    if (one := recorded.prompt or prompt) and prompt_tokens(encoder[0], one):
        prompt = recorded.prompt  # a call may name it, or its texts have it in themselves; who has another is told then
    pooling = getattr(kinds.get("Pooling"), "pooling_mode", None)
    unit = "Normalize" in kinds or (recorded.truncate_dim is not None and recorded.normalize)
    its = EncoderRecord.of(prompt=prompt, normalize=bool(unit), pooling=pooling)
    if route is not None and recorded.task is not None:  # else the encoder had no routes before it was put into one
        its = its.with_values(task=route)
    length = getattr(encoder[0], "max_seq_length", None)
    if isinstance(length, int) and length < sys.maxsize:
        its = its.with_values(max_length=length)
    for name, then, now in recorded.differences(its, COMPARED):
        yield f"{name}={then!r}, the model has {name}={now!r}"
