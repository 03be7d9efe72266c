"""Write a folder of each kind that irp_hf saves, and what it gave when it was saved.

`PYTHONPATH=tests python tests/golden/make.py KIND ...` does.

The folders beside this file are older than the package's present layout. They are never written anew: what was saved once
must load and give the same for ever. A new kind of folder is added by its name.
"""

import contextlib
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RANDOM = np.random.RandomState(7)
X = (RANDOM.randn(40, 6) * np.exp(RANDOM.randn(40, 1) / 2) + 1).astype(np.float32)
Y = np.tanh(X @ RANDOM.randn(6, 4) / 2).astype(np.float32) + 0.3
ROWS = RANDOM.randn(7, 6) + 1
TEXTS = [f"text {row} of {row * row}" for row in range(12)]
BATCH = 3
SOURCE = {"id": "me/encoder", "revision": "ab" * 20, "pooling": "mean", "prompt": "query: ", "normalize": True} | {
    "dtype": "float32",
    "view": "text",
}
TARGET = {"id": "you/classifier", "revision": None, "pooling": None, "prompt": None, "normalize": False} | {
    "dtype": "float32",
    "at": "head",
    "view": "text",
}
ADAPTERS = {
    "kernel": dict(method="kernel", gamma=1.5, ridge=1e-2),
    "kernel-lift": dict(method="kernel", gamma=1.0, ridge=1e-2, lift=1.0),
    "kernel-landmarks": dict(method="kernel", gamma=1.0, ridge=1e-2, num_landmarks=12),
    "whitened": dict(method="whitened", balance=0.5, ridge=0.1),
    "pruned": dict(method="pruned", pruning_threshold=0.3, num_subspaces=3),
    "typical": dict(method="kernel", gamma=1.5, ridge=1e-2, lift=0.5),
    "typical-sides": dict(method="whitened", balance=0.5, ridge=0.1),
    "typical-unlifted": dict(method="kernel", gamma=1.5, ridge=1e-2, lift=0.5),
}


def embed(texts):
    """An encoder that is a function; whole numbers, so that no machine rounds them otherwise."""
    return np.array([[len(text), sum(map(ord, text)) % 97, text.count("1")] for text in texts], dtype=np.float32)


def spaces():
    from irp_hf import AnchoredSpace, AnchorSet

    anchors = AnchorSet([f"anchor {row}" for row in range(len(X))], dataset_id="me/texts", license="cc-by-4.0")
    return AnchoredSpace.from_embeddings(X, anchors, SOURCE), AnchoredSpace.from_embeddings(Y, anchors, TARGET)


def adapter(kind, folder):
    from irp_hf import IRPAdapter

    made = IRPAdapter.connect(*spaces(), **ADAPTERS[kind])
    made.save_pretrained(folder)
    np.savez(
        folder / "expected.npz",
        translated=made.translate(ROWS),
        single=made.translate(ROWS.astype(np.float32)),
        confidence=made.confidence(ROWS),
        bound=made.confidence(ROWS, coverage=0.9) if kind.startswith("typical") else (),
    )


def space(folder):
    source, _ = spaces()
    source.save_pretrained(folder)
    options = dict(gamma=1.0, ridge=1e-2)
    relative = source.to_relative(ROWS, **options)
    np.savez(folder / "expected.npz", relative=relative, absolute=source.to_absolute(relative, **options))


def strangers():
    """Spaces that share their first eight anchors, and have unpaired rows of their own."""
    from unpaired_rows import spaces as unpaired

    from irp_hf import AnchoredSpace

    found = unpaired(0, num_pairs=8, rows=450)
    sides = zip(found.pairs, found.background, (SOURCE, TARGET), strict=True)
    made = [AnchoredSpace.from_embeddings(pairs, encoder=who, background=rows) for pairs, rows, who in sides]
    return made, found.new[0][:7]


def space_background(folder):
    (source, _), _ = strangers()
    source.save_pretrained(folder)
    np.savez(folder / "expected.npz", rows=source.background_rows, numbers=source.background_numbers)


def few_pairs(folder, **options):
    """An adapter of eight pairs before unpaired rows."""
    from irp_hf import IRPAdapter

    sides, rows = strangers()
    made = IRPAdapter.connect(*sides, **options)
    made.save_pretrained(folder)
    translated, confidence = made.translate(rows, return_confidence=True)
    found = made.discovered_pairs
    kept = {} if found is None else found._asdict()
    np.savez(folder / "expected.npz", x=rows, translated=translated, confidence=confidence, **kept)


def discovered(folder):
    """An adapter without any pair."""
    few_pairs(folder, pairs="discover")


def anchor_set(folder):
    from PIL import Image

    from irp_hf import AnchorSet

    pictures = [Image.fromarray(np.full((3, 4, 3), 20 * row, np.uint8)) for row in range(len(TEXTS))]
    AnchorSet({"words": TEXTS, "picture": pictures}).save_pretrained(folder)


def encoded(folder):
    """A finished run of `encode`, and one that was interrupted in the middle."""
    from irp_hf.encoding import encode

    folder.mkdir()
    encode(embed, TEXTS, batch_size=BATCH, out=folder / "finished.npy")
    calls = iter(range(2))

    def stop(texts):
        next(calls)
        return embed(texts)

    stop.__name__ = "embed"
    with contextlib.suppress(RuntimeError, StopIteration):
        encode(stop, TEXTS, batch_size=BATCH, out=folder / "half.npy")


def blocks(folder):
    """A finished run of `run_sharded`."""
    from irp_hf.parallel import run_sharded

    run_sharded(embed, TEXTS, folder, block_size=5)


def sentence_transformer(folder):
    """A model whose last module is our translation."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    from irp_hf import IRPAdapter
    from irp_hf.integrations.sentence_transformers import IRPTranslation

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["[UNK]", *"abcdefgh"])}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    made = IRPAdapter.from_anchors(X, Y, **ADAPTERS["whitened"])
    model = SentenceTransformer(
        modules=[StaticEmbedding(words, embedding_weights=X[:9]), IRPTranslation(made)], device="cpu"
    )
    model.save(str(folder))
    np.savez(folder / "expected.npz", encoded=model.encode(["a b c", "d", "e f g h a"]))


def report(folder):
    import json

    from irp_hf import IRPAdapter

    folder.mkdir()
    made = IRPAdapter.from_anchors(X, Y, **ADAPTERS["kernel"]).report(progress=False).untimed()
    (folder / "report.json").write_text(json.dumps(made.to_dict(), indent=1))
    (folder / "report.md").write_text(made.to_markdown())


KINDS = {
    "space": space,
    "space-background": space_background,
    "few-pairs": few_pairs,
    "discovered": discovered,
    "anchor-set": anchor_set,
    "encoded": encoded,
    "blocks": blocks,
    "sentence-transformer": sentence_transformer,
    "report": report,
}

if __name__ == "__main__":
    for kind in sys.argv[1:]:
        adapter(kind, HERE / kind) if kind in ADAPTERS else KINDS[kind](HERE / kind)
