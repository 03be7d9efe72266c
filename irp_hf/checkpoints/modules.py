"""The parts of a sentence-transformers model, looked at before one is loaded: where they lie, of which class, how stored."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from torch import nn

from irp_hf.checkpoints.limits import CONFIG, WEIGHTS, check_processor, check_sizes, is_inside, read_json
from irp_hf.checkpoints.module_settings import (
    OF_THE_MODEL,
    OF_TRANSFORMER,
    check_model,
    check_module,
    check_routes,
    check_transformer,
)
from irp_hf.checkpoints.repository import Repository, pickled
from irp_hf.checkpoints.tokenizers import check_tokenizer
from irp_hf.errors import InputError, refusal, shown

LIBRARY = "sentence_transformers."
MODULES, ROUTES = "modules.json", "router_config.json"
MOST_MODULES = 100
SAVE_AGAIN = "Do not use it, or save the model again."


def check_modules(repository: Repository, token: str | bool | None, trusted: bool = False) -> tuple[str, ...]:
    """The folders of a model's modules that hold weights, after a look at what all of them say.

    Raises `InputError` for a module that lies outside of it, is too large, has its weights in a pickle, is set to what would be
    overlooked, or names what is no module of sentence-transformers' own; code of the repository's own is refused, or
    `trusted`, where it is loaded.
    """
    check_model(f"The {OF_THE_MODEL} of {repository.name}", read_json(repository, OF_THE_MODEL, token))
    content = read_json(repository, MODULES, token)
    looked = _Look(repository, token, trusted)
    modules = [module if isinstance(module, dict) else {} for module in content] if isinstance(content, list) else []
    for module in modules:
        looked.at(MODULES, module.get("type"), module.get("path"))
    names = [str(module.get("name")) for module in modules]
    if len(set(names)) < len(names):  # the library keeps one of each name
        got = f"names {shown(names)}"
        raise refusal(f"The {MODULES} of {repository.name}", "modules of different names", got, SAVE_AGAIN)
    check_sizes(repository, token)
    return tuple(dict.fromkeys(looked.weighted))


class _Look:
    """At one module after the other."""

    def __init__(self, repository: Repository, token: str | bool | None, trusted: bool) -> None:
        self.repository, self.token, self.trusted = repository, token, trusted
        self.left, self.weighted = MOST_MODULES, list[str]()

    def at(self, file: str, kind: Any, path: Any) -> None:
        """One module, and those between which it routes; raises `InputError`."""
        subject = f"The {file} of {self.repository.name}"
        if not isinstance(path, str) or not is_inside(path):
            raise refusal(subject, "folders inside the repository", shown(path), SAVE_AGAIN)
        self.left -= 1
        if not isinstance(kind, str) or self.left < 0:
            got = "more" if self.left < 0 else f"one of {shown(kind)}"
            raise refusal(subject, f"at most {MOST_MODULES} modules, each of a class", got, SAVE_AGAIN)
        if not kind.startswith(LIBRARY):
            self.weighted.append(path)
            return
        found = _class(subject, kind)
        parents = {parent.__name__ for parent in found.__mro__}
        if "Transformer" in parents:
            self._transformer(path)
        elif parents & {"Router", "Asym"}:
            self._routes(subject, path)
        else:
            self._other(path, found, parents)

    def _transformer(self, path: str) -> None:
        self.weighted.append(path)
        check_sizes(self.repository, self.token, path)
        check_processor(self.repository, self.token, path)
        check_tokenizer(self.repository, self.token, path)
        for name in OF_TRANSFORMER:
            file, settings = self._settings(path, name)
            if settings is not None:
                check_transformer(file, settings, self.trusted)
                break

    def _other(self, path: str, found: type, parents: set[str]) -> None:
        name = getattr(found, "config_file_name", CONFIG)
        check_sizes(self.repository, self.token, path, name)
        file, settings = self._settings(path, name)
        check_module(file, found, settings, self.trusted)
        if "InputModule" in parents:
            check_tokenizer(self.repository, self.token, path)
        if _has_weights(found) and "Normalize" not in parents:
            self.weighted.append(path)
            if self.repository.file((PurePosixPath(path) / WEIGHTS).as_posix(), self.token) is None:
                raise pickled(self.repository.name, f"none for its {found.__name__}, or ")
        if "WordEmbeddings" in parents:
            _check_words(file, settings)

    def _settings(self, path: str, name: str) -> tuple[str, Any]:
        """A file of a module, by its name in errors, and what it says."""
        file = (PurePosixPath(path) / name).as_posix()
        return f"The {file} of {self.repository.name}", read_json(self.repository, file, self.token)

    def _routes(self, subject: str, path: str) -> None:
        names = [(PurePosixPath(path) / name).as_posix() for name in (ROUTES, CONFIG)]  # the second of older versions
        found = (read_json(self.repository, name, self.token) for name in names)
        routes = next((content for content in found if isinstance(content, dict)), {})
        types = routes.get("types")
        check_routes(f"The {names[0]} of {self.repository.name}", routes, MOST_MODULES)
        for name, kind in (types if isinstance(types, dict) else {}).items():
            if not is_inside(name):
                raise refusal(subject, "folders inside the repository", shown(name), SAVE_AGAIN)
            self.at(names[0], kind, (PurePosixPath(path) / name).as_posix())


def _class(subject: str, kind: str, base: type = nn.Module) -> type:
    """The class of that name in sentence-transformers, which is full of names of others: `torch` and `pickle` among them."""
    from sentence_transformers.util import import_from_string

    try:
        found: Any = import_from_string(kind)
    except Exception as error:  # whatever an import may raise
        raise _no_module(subject, kind) from error
    if not isinstance(found, type) or not issubclass(found, base):
        raise _no_module(subject, kind)
    return found


def _check_words(subject: str, settings: Any) -> None:
    """Of word embeddings: a tokenizer of the library's own, which has no other folder to read."""
    kind = settings.get("tokenizer_class") if isinstance(settings, dict) else None
    if isinstance(kind, str) and not kind.startswith(LIBRARY):
        return  # refused, or trusted, where it is loaded
    parents = {parent.__name__ for parent in _class(subject, kind or "", object).__mro__}
    if "WordTokenizer" not in parents:
        raise _no_module(subject, shown(kind))


def _no_module(subject: str, kind: str) -> InputError:
    advice = "Install the sentence-transformers that wrote it, or do not use it."
    return refusal(subject, "modules of sentence-transformers", shown(kind), advice)


def _has_weights(kind: Any) -> bool:
    """Whether it reads weights: the base class of all modules, without a way of its own to load, reads none."""
    bases = [one for one in kind.__mro__ if one.__name__ == "Module" and one is not nn.Module]
    return not bases or kind.load.__func__ is not bases[0].load.__func__
