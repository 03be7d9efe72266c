"""What both models share of `PreTrainedModel`: tensors that stay float32, saves that are whole, loads that are exact."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from typing_extensions import Self

from irp_hf.errors import DamagedFolderError, InputError, IRPError
from irp_hf.saving import replaced_folder

WEIGHTS = "model.safetensors"


class AnchoredModel(PreTrainedModel):
    """A model of frozen tensors that were computed, not trained."""

    main_input_name = "embeddings"
    sealed: tuple[str, ...] = ()
    """Names of what the configuration adds to the translation: the checksum covers them too."""
    device_map: Any = None
    """What was asked for when it was loaded; a pipeline asks the same for the encoder."""
    _supports_flash_attn = False

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing is ever initialised: every tensor comes from anchors or from a file."""

    def _put(self, name: str, value: Tensor) -> None:
        """Store `value` as a frozen float32 parameter."""
        self.register_parameter(name, nn.Parameter(value.detach().float().clone(), requires_grad=False))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow moves to another device, but no cast: anchors in half precision would translate otherwise."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(fn(torch.empty(0, dtype=tensor.dtype, device=tensor.device)).device)

        super()._apply(move, recurse)  # type: ignore[no-untyped-call]
        return self

    def checksum(self) -> str:
        """SHA-256 of all tensors, in the order of their names, and of what is `sealed`."""
        digest = hashlib.sha256(json.dumps([getattr(self.config, name) for name in self.sealed]).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | os.PathLike[str], **kwargs: Any
    ) -> None:
        """Save configuration and tensors, whole or not at all; what else stands in the folder stays.

        Takes the keywords of `PreTrainedModel.save_pretrained`, but writes all tensors that there are, into one file.
        """
        if not kwargs.pop("is_main_process", True):
            return
        kwargs.pop("state_dict", None)
        kwargs["max_shard_size"] = "1TB"  # shards would be mixed with those of an earlier save
        if kwargs.get("push_to_hub"):
            kwargs.setdefault("repo_id", Path(save_directory).name)
        self.config.weights_sha256 = self.checksum()
        with replaced_folder(save_directory) as folder:
            super().save_pretrained(folder, **kwargs)
            (folder / WEIGHTS).chmod((folder / "config.json").stat().st_mode)  # safetensors lets nobody else read

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Self:
        """Load from a folder or the Hub, without a refit, bit for bit as it was saved.

        Takes the keywords of `PreTrainedModel.from_pretrained`. The tensors stay float32 whatever `dtype` is asked for, and
        only safetensors are read.

        Raises `DamagedFolderError` where a file is missing, truncated, altered or no safetensors file.
        """
        place = _place(pretrained_model_name_or_path)
        if Path(place).is_dir():
            _check_files(Path(place, kwargs.get("subfolder") or ""), cls.config_class.model_type)  # type: ignore[union-attr]
        wants_info = kwargs.pop("output_loading_info", False)
        kwargs.pop("torch_dtype", None)
        kwargs |= {"dtype": torch.float32, "use_safetensors": True, "output_loading_info": True}
        kwargs["ignore_mismatched_sizes"] = True  # they are in the loading info, and refused below
        try:
            loaded: Any = super().from_pretrained(place, *args, **kwargs)
        except IRPError:
            raise
        except Exception as error:  # an altered file makes the loader raise almost anything
            if isinstance(error, OSError) and not Path(place).is_dir():
                raise  # the Hub has its own words
            raise _damaged(place, " ".join(str(error).split())[:300]) from error
        model, info = loaded
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if info[what]:
                names = ", ".join(sorted(key if isinstance(key, str) else key[0] for key in info[what]))
                raise _damaged(place, f"its tensors do not fit its config.json ({what.replace('_', ' ')}: {names})")
        if model.config.weights_sha256 != model.checksum():
            raise _damaged(
                place, "its tensors or its configuration are not those that were saved (the checksum differs)"
            )
        for name, tensor in list(model.named_parameters()):  # the loader's need gradients and lie in the mapped file
            model._put(name, tensor)
        model.device_map = kwargs.get("device_map")
        return (model, info) if wants_info else model  # type: ignore[return-value]


def _place(name: Any) -> str:
    """A folder that exists, or an id on the Hub."""
    if not isinstance(name, (str, os.PathLike)) or not str(name):
        raise InputError(
            f"The place to load from is {name!r}; a folder or an id on the Hub is wanted. Name one of them."
        )
    place = str(name)
    folder = Path(place)
    if not folder.is_dir() and (folder.exists() or folder.is_absolute() or place[0] in ".~" or len(folder.parts) != 2):
        raise DamagedFolderError(f"There is no folder {place}. Name one, or an id on the Hub, user/name.")
    return place


def _check_files(folder: Path, model_type: str) -> None:
    """What a local folder lacks, said before transformers looks for substitutes."""
    config = folder / "config.json"
    if not config.is_file():
        raise _damaged(folder, "it has no config.json")
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise _damaged(folder, f"its config.json cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, f"its config.json is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise _damaged(folder, "its config.json is no JSON object")
    if content.get("model_type") != model_type:
        raise DamagedFolderError(
            f"{folder} holds a model of type {content.get('model_type')!r}; {model_type!r} is wanted. "
            "Load it with AutoModel.from_pretrained or name another folder."
        )
    if not (folder / WEIGHTS).is_file() and not (folder / f"{WEIGHTS}.index.json").is_file():
        others = sorted(p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"})
        found = f"; {', '.join(others)} may hold pickled code and is not read" if others else ""
        raise _damaged(folder, f"it has no {WEIGHTS}{found}")


def _damaged(place: str | Path, what: str) -> DamagedFolderError:
    return DamagedFolderError(f"{place} cannot be loaded: {what}. Save or download it again.")
