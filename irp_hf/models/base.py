"""What both models share of `PreTrainedModel`: tensors that keep their dtype, saves that are whole, loads that are exact."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from huggingface_hub import CommitInfo, ModelCard
from torch import Tensor, nn
from transformers import PreTrainedModel
from typing_extensions import Self

from irp_hf.arithmetic import own_arithmetic
from irp_hf.cards.merging import merged
from irp_hf.checkpoints.limits import CONFIG, WEIGHTS
from irp_hf.checkpoints.repository import LOADING
from irp_hf.checks import check_absent, check_names, check_text
from irp_hf.configuration_irp import AnchoredConfig
from irp_hf.disk.atomic import replaced_folder
from irp_hf.disk.leftovers import temporary_folder
from irp_hf.disk.places import is_path
from irp_hf.disk.reading import check_place, is_saved, read_folder
from irp_hf.encoding.base import check_device_map
from irp_hf.errors import InputError, IRPError, first_line, reason_of, refusal, shown
from irp_hf.hub.download import fetch
from irp_hf.hub.upload import KEYWORDS, check_keywords, full_id, push
from irp_hf.models.loading import check_tensors, damaged, read_config, read_tensors
from irp_hf.models.replacing import refuse_another_model, refuse_another_repository

CODE = Path(__file__).parent.parent / "hub_code.py"
NUMBERS, PICTURE = "report.json", "report.png"  # of a report, beside the card; those of an earlier push would lie
OF_THE_HUB = ("revision", "cache_dir", "local_files_only", "force_download", "subfolder")
OF_A_PUSH = ("repo_id", *KEYWORDS)
NO_MATTER = ("_from_auto", "_from_pipeline", "low_cpu_mem_usage", "use_safetensors")  # of the same: they change nothing
OF_NO_USE = (  # of what transformers' loaders take or hand on: each would change what is fixed, or means nothing here
    *("config", "dtype", "torch_dtype", "trust_remote_code", "code_revision", "adapter_kwargs", "_commit_hash"),
    *("weights_only", "ignore_mismatched_sizes", "variant", "proxies", "resume_download", "from_tf", "from_flax"),
)


class AnchoredModel(PreTrainedModel):
    """A model of frozen tensors that were computed, not trained."""

    config: AnchoredConfig
    main_input_name = "embeddings"
    dtypes: Mapping[str, torch.dtype] = MappingProxyType({})
    """Of the tensors that are no float32, by their names."""
    may_lack: tuple[str, ...] = ()
    """Names of tensors that some of its configurations have none of: None there."""
    checksum_fields: tuple[str, ...] = ()
    """Names of what the configuration adds to the translation: the checksum covers them too."""
    checksum_fields_if_set: tuple[str, ...] = ()
    """Such names that came later: what was saved before has no value for them, and keeps its checksum."""
    checksum_records: tuple[str, ...] = ()
    """Names of what the configuration tells of encoders and anchors, which a checksum covers from version 2 on."""
    card_options: tuple[str, ...] = ()
    """Keywords of `push_to_hub` about what the card tells."""
    device_map: Any = None
    """What was asked for when it was loaded; a pipeline asks the same for the encoder."""
    hub_token: str | bool | None = None
    """What it was fetched with; a pipeline fetches encoder and head with the same. It is saved nowhere."""
    _supports_flash_attn = False

    def __init__(self, config: Any) -> None:
        """A model of this configuration whose tensors are still zero: what loading begins with."""
        super().__init__(config)
        shapes = self.shapes(config)
        for name, shape in shapes.items():
            # The loader makes it on the device "meta", and then puts the tensors in.
            self._set_tensor(name, torch.zeros(shape, dtype=self.dtype_of(name), device=torch.get_default_device()))
        for name in self.may_lack:
            if name not in shapes:
                self.register_parameter(name, None)
        self.post_init()

    @classmethod
    def shapes(cls, config: Any) -> dict[str, tuple[int, ...]]:
        """The names and shapes of all tensors of a model of this configuration."""
        raise NotImplementedError

    @classmethod
    def dtype_of(cls, name: str) -> torch.dtype:
        """The dtype in which a tensor is kept and saved."""
        return cls.dtypes.get(name, torch.float32)

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing is ever initialised: every tensor comes from anchors or from a file."""

    def init_weights(self) -> None:
        """Nothing either; transformers' own patches torch for all threads meanwhile."""

    def _set_tensor(self, name: str, value: Tensor) -> None:
        """Store `value` as a frozen parameter of the dtype that this one has."""
        kept = value.detach().to(self.dtype_of(name)).clone()
        self.register_parameter(name, nn.Parameter(kept, requires_grad=False))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow moves to another device, but no cast: anchors in half precision would translate otherwise."""

        def move(tensor: Tensor) -> Tensor:
            try:
                device = fn(torch.empty(0, dtype=tensor.dtype, device=tensor.device)).device
            except NotImplementedError as error:  # from the device "meta" to another
                raise self._without_values() from error
            if tensor.is_meta and device.type != "meta":
                raise self._without_values()
            return tensor.to(device)

        super()._apply(move, recurse)  # type: ignore[no-untyped-call]
        return self

    @property
    def device(self) -> torch.device:
        """Where the tensors lie: all in one place."""
        first: Tensor = next(iter(self._parameters.values()))  # type: ignore[assignment]
        return first.device

    def computing(self, gradients: bool = False) -> AbstractContextManager[None]:
        """Our own arithmetic on tensors that hold values: what Accelerate keeps in another place is there meanwhile.

        Raises `InputError` where they lie on the device "meta" and nothing fetches them.
        """
        if not any([tensor.is_meta for tensor in self._parameters.values() if tensor is not None]):
            return own_arithmetic(gradients)
        hook: Any = getattr(self, "_hf_hook", None)
        if hook is None:
            raise self._without_values()
        return self._fetched(hook, gradients)

    @contextmanager
    def _fetched(self, hook: Any, gradients: bool) -> Iterator[None]:
        with own_arithmetic(gradients):
            hook.pre_forward(self)
            try:
                yield
            finally:
                hook.post_forward(self, None)

    def _without_values(self) -> InputError:
        advice = "Load or fit it on another device: it is small, and needs no device_map."
        return refusal(type(self).__name__, "tensors that hold values", "ones on the device meta", advice)

    def __getstate__(self) -> dict[str, Any]:
        """All but the token, which no copy and no pickle carries."""
        return {**self.__dict__, "hub_token": None}

    def checksum(self) -> str:
        """SHA-256 of all tensors, in the order of their names, and of what is named by `checksum_fields`."""
        values = [getattr(self.config, name) for name in self.checksum_fields]
        values += [value for name in self.checksum_fields_if_set if (value := getattr(self.config, name))]
        added = [name for name in self.config.added_names() if name not in vars(type(self.config))]
        values += [[name, value] for name in added if (value := getattr(self.config, name, None)) is not None]
        digest = hashlib.sha256(json.dumps(values).encode())
        if self.config.checksum_version is not None:  # in what was saved before, they may have been changed by hand
            records = {name: getattr(self.config, name) for name in ("checksum_version", *self.checksum_records)}
            digest.update(json.dumps(records, sort_keys=True).encode())
        with self.computing():
            for name, tensor in sorted(self.state_dict().items()):
                kept = tensor.to("cpu", self.dtype_of(name))  # transformers' loader widens what is half a float32
                digest.update(f"{name} {tuple(kept.shape)} {kept.dtype}".encode())
                digest.update(kept.contiguous().numpy().data)
        return digest.hexdigest()

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | os.PathLike[str], **kwargs: Any
    ) -> None:
        """Save configuration and tensors, whole or not at all; what else stands in the folder stays.

        Takes the keywords of `PreTrainedModel.save_pretrained`, but writes all tensors that there are, into one file. Beside
        them goes a small file for those who load with `trust_remote_code=True` and do not import irp_hf.

        Raises `InputError` for the folder of another model, of which it would replace `config.json` and weights, and for
        tensors or a configuration that somebody changed so that no load would take them.
        """
        if not kwargs.pop("is_main_process", True):
            return
        for name in ("state_dict", "variant", "distributed_checkpoint"):  # one file of that name is what is loaded
            kwargs.pop(name, None)
        kwargs["max_shard_size"] = "1TB"  # shards would be mixed with those of an earlier save
        pushing = kwargs.pop("push_to_hub", False)
        of_push = {name: kwargs.pop(name) for name in OF_A_PUSH if name in kwargs}
        self._refuse_nonsense()
        self.config.auto_map = {
            f"Auto{what}": f"{CODE.stem}.{kind.__name__}"
            for what, kind in (("Config", type(self.config)), ("Model", type(self)))
        }
        self.config.weights_sha256 = self.checksum()
        with self.computing(), replaced_folder(save_directory) as folder:
            refuse_another_model(Path(save_directory), self.config.model_type, CODE.name)
            super().save_pretrained(folder, **kwargs)
            shutil.copyfile(CODE, folder / CODE.name)
            (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)  # safetensors lets nobody else read
        if pushing:
            self.push_to_hub(of_push.pop("repo_id", None) or Path(save_directory).resolve().name, **of_push)

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str | None = None,
        commit_description: str | None = None,
        exist_ok: bool = True,
        **about: Any,
    ) -> CommitInfo:
        """Push configuration, tensors and card to `repo_id` on the Hub, as one commit.

        The repository is made where it is missing. A card that somebody wrote or edited there keeps its text, and gets what
        its metadata lacks.

        Args:
            repo_id: user/name, or a name of your own.
            private: whether the repository, if it is made, is private.
            token: of an account that may write there; by default the one that is logged in.
            revision: the branch, which is made where it is missing.
            create_pr: open a pull request instead of committing to the branch.
            commit_message: in a line.
            commit_description: in more.
            exist_ok: False refuses a repository that exists.
            **about: what the card is to tell: `report` of an adapter.

        Raises `InputError` for a repository that holds another model, of which it would replace files (a pull request may
        propose that), and `HubError` where the Hub refuses or the connection breaks: then nothing was published.
        """
        check_keywords(about, *self.card_options)
        repo_id = full_id(repo_id, token)

        def check(names: set[str], fetched: Callable[[str], Path | None]) -> None:
            refuse_another_repository(repo_id, names, lambda: fetched(CONFIG), self.config.model_type, CODE.name)

        with temporary_folder() as temporary:
            folder = temporary / "model"
            self.save_pretrained(folder)
            card = self._card(repo_id, folder, **about)
            return push(
                folder,
                repo_id,
                lambda theirs: merged(card, theirs),
                private=private,
                token=token,
                revision=revision,
                create_pr=create_pr,
                commit_message=commit_message,
                commit_description=commit_description,
                exist_ok=exist_ok,
                replaced=(NUMBERS, PICTURE),
                check=check,
            )

    def _card(self, repo_id: str, folder: Path, **about: Any) -> ModelCard:
        """The card of this model; the files that it shows are written to `folder`."""
        raise NotImplementedError

    @classmethod
    @own_arithmetic()
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Self:
        """Load from a folder or the Hub, without a refit, bit for bit as it was saved.

        Takes the keywords of `PreTrainedModel.from_pretrained`: `revision`, `token`, `cache_dir`, `local_files_only`,
        `device_map`, ... The tensors keep their dtypes whatever `dtype` is asked for, only safetensors are read, and no code
        that lies beside them is run. What was fetched once loads without a connection.

        Raises `DamagedFolderError` where a file is missing, truncated, altered or no safetensors file, before memory is taken
        for its tensors, `HubError` where the Hub does not give it, and `InputError` for a keyword that there is not.
        """
        place = check_place(pretrained_model_name_or_path)
        for name in OF_NO_USE:
            kwargs.pop(name, None)
        _check_overrides(cls.config_class, kwargs)
        token, wants_info = kwargs.pop("token", None), kwargs.pop("output_loading_info", False)
        folder, commit = _folder(place, token, **{name: kwargs.pop(name) for name in OF_THE_HUB if name in kwargs})
        where = place if commit else str(folder)

        def load(folder: Path) -> tuple[Self, dict[str, Any]]:
            return cls._load(folder, where, args, kwargs)

        model: Self
        try:
            model, info = load(folder) if commit else read_folder(folder, load)
        except OSError as error:
            if isinstance(error, IRPError):
                raise
            raise damaged(where, f"files that cannot be read ({reason_of(error)})") from error
        model.config._name_or_path, model.config._commit_hash = place, commit
        model.device_map, model.hub_token = kwargs.get("device_map"), token
        return (model, info) if wants_info else model  # type: ignore[return-value]

    @classmethod
    def _load(
        cls, folder: Path, where: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Self, dict[str, Any]]:
        """The model in a folder, and what transformers tells of its loading; `where` is said in errors."""
        config, options = read_config(folder, where, cls.config_class, **kwargs)  # type: ignore[arg-type]
        options = {name: value for name, value in options.items() if value is not None and name not in NO_MATTER}
        try:
            if args or options:  # a device map, say
                check_tensors(folder, where, cls.shapes(config), cls.dtypes)
                fixed = dict(dtype=torch.float32, use_safetensors=True, output_loading_info=True, local_files_only=True)
                with LOADING.taken():
                    loaded: Any = super().from_pretrained(folder, *args, config=config, **options | fixed)
            else:  # no thread need wait for another, and nothing of torch is patched meanwhile
                loaded = cls._read(folder, where, config)
        except IRPError:
            raise
        except Exception as error:  # an altered file makes the loader raise almost anything
            if unknown := UNKNOWN.search(first_line(error)):
                check_names(
                    "from_pretrained", [unknown[1]], (*OF_THE_HUB, "token", "device_map", "output_loading_info")
                )
            raise damaged(where, f"one that its loader refuses ({first_line(error)[:300]})") from error
        model, info = loaded
        if model.config.weights_sha256 != model.checksum():
            raise damaged(where, "tensors or a configuration that were changed since (the checksum differs)")
        if any(
            tensor.requires_grad for tensor in model.parameters()
        ):  # transformers' loader, whose lie in the mapped file, and are all of one dtype
            for name, tensor in list(model.named_parameters()):
                model._set_tensor(name, tensor)
        model._check_values(where)
        return model, info

    def _check_values(self, place: str) -> None:
        """Raise `DamagedFolderError` for tensors that are as the checksum says, and that no save of ours would hold."""
        if any(tensor.is_meta for tensor in self.parameters()):  # left on a disk, or never read
            return
        if wrong := self._nonsense():
            raise damaged(place, wrong)

    def _refuse_nonsense(self) -> None:
        """Raise `InputError` for tensors or a configuration that no load would take: they were changed in memory."""
        self.config.validate()
        with self.computing():
            wanted = {name: (shape, self.dtype_of(name)) for name, shape in self.shapes(self.config).items()}
            held = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in self.named_parameters()}
            names = sorted(name for name in {*wanted, *held} if wanted.get(name) != held.get(name))
            wrong = f"others than its configuration tells: {', '.join(names)}" if names else self._nonsense()
        if wrong:
            advice = "Load it again, or make it anew, and change none of its values."
            raise refusal(f"The tensors of {type(self).__name__}", "values as they were fitted", wrong, advice)

    def _nonsense(self) -> str | None:
        """What is wrong, also where the values do not even belong together."""
        try:
            return self.what_is_wrong()
        except Exception as error:
            return f"values that do not translate ({type(error).__name__}: {first_line(error)})"

    def what_is_wrong(self) -> str | None:
        """What of the tensors makes no sense, as "NaN in anchors"; None where they do."""
        for name, tensor in self.named_parameters():
            if not bool(tensor.isfinite().all()):
                return f"NaN or infinity in {name}"
        return None

    @classmethod
    def _read(cls, folder: Path, where: str, config: AnchoredConfig) -> tuple[Self, dict[str, Any]]:
        """The model of the files in a folder, and what transformers would tell of its loading."""
        tensors = read_tensors(folder, where, cls.shapes(config), cls.dtypes)
        with torch.device("meta"):  # a matter of this thread
            model = cls(config)
        for name, tensor in tensors.items():
            model.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
        model.eval()  # type: ignore[no-untyped-call]
        told: dict[str, Any] = dict(missing_keys=set(), unexpected_keys=set(), mismatched_keys=set(), error_msgs=[])
        return model, told

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoModel") -> None:
        """Nothing: what is saved names irp_hf, and no file of it is copied."""


UNKNOWN = re.compile(r"__init__\(\) got an unexpected keyword argument '(\w+)'")


def _check_overrides(config_class: Any, options: Mapping[str, Any]) -> None:
    """Raise `InputError` for what was saved and cannot be loaded as something else, and for devices that there are not."""
    for name in {*config_class.__annotations__, *config_class.added_names()} & set(options):
        check_absent(name, options[name], "a model is loaded as it was saved; another one is fitted")
    check_device_map("device_map", options.get("device_map"))


def _folder(
    place: str, token: str | bool | None, revision: str | None = None, subfolder: str | None = None, **options: Any
) -> tuple[Path, str | None]:
    """Where the files lie on this machine, and the commit that they are of."""
    inner = Path(check_text("subfolder", "" if subfolder is None else subfolder, "Name a folder, or leave it out."))
    if inner.is_absolute() or ".." in inner.parts or not is_path(str(inner)):
        raise refusal(
            "subfolder", f"a folder inside {place}", shown(subfolder), "Name one that does not lead out of it."
        )
    if is_saved(Path(place)):
        return Path(place, inner), None
    files = [(inner / name).as_posix() for name in (CONFIG, WEIGHTS)]
    asked = getattr(revision, "initial", revision)  # transformers resolves a revision before all files of it are there
    folder, commit = fetch(place, files, asked, token, **options)
    return folder / inner, commit
