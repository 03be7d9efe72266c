"""What models of transformers answer that are no classifiers of whole items, told by their classes.

Weights do not tell: in some architectures those of a tagger of tokens have the very names of a classifier's, and would be
taken for one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from transformers.models.auto import modeling_auto

WHOLE = ("SEQUENCE_CLASSIFICATION", "IMAGE_CLASSIFICATION", "AUDIO_CLASSIFICATION", "VIDEO_CLASSIFICATION")
"""The mappings of transformers whose models give one row of logits for an item."""
ANSWERS = {
    "a label for each token": ("TOKEN_CLASSIFICATION",),
    "where an answer begins and ends": (
        "QUESTION_ANSWERING",
        "DOCUMENT_QUESTION_ANSWERING",
        "TABLE_QUESTION_ANSWERING",
    ),
    "the best of several answers": ("MULTIPLE_CHOICE",),
    "words for gaps": ("MASKED_LM",),
    "text": (
        *("CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "CTC", "RNNT", "TDT"),
        *("IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM", "VISION_2_SEQ", "TEXT_RECOGNITION", "TABLE_RECOGNITION"),
    ),
    "a label for each moment": ("AUDIO_FRAME_CLASSIFICATION",),
    "boxes in a picture": ("OBJECT_DETECTION", "ZERO_SHOT_OBJECT_DETECTION"),
    "a label for each pixel": (
        *("SEMANTIC_SEGMENTATION", "IMAGE_SEGMENTATION", "INSTANCE_SEGMENTATION", "UNIVERSAL_SEGMENTATION"),
        "MASK_GENERATION",
    ),
    "points in a picture": ("KEYPOINT_DETECTION", "KEYPOINT_MATCHING", "POSE_ESTIMATION"),
    "depths": ("DEPTH_ESTIMATION",),
    "a picture": ("MASKED_IMAGE_MODELING", "CAUSAL_IMAGE_MODELING", "IMAGE_TO_IMAGE", "IMAGE_MATTING"),
    "numbers for each pixel": ("NORMAL_ESTIMATION", "POINTMAP_ESTIMATION"),
    "a vector of a voice": ("AUDIO_XVECTOR",),
    "sound": ("TEXT_TO_SPECTROGRAM", "TEXT_TO_WAVEFORM"),
    "vectors for each token": ("RETRIEVAL",),
    "a forecast": ("TIME_SERIES_PREDICTION",),
    "how well pictures go with texts": ("ZERO_SHOT_IMAGE_CLASSIFICATION",),
}
"""What a model answers, and the mappings that hold such models; some are not in every version of transformers."""
ONE_ANSWER = "a classifier, which gives one answer for a whole item"
NAME_A_CLASSIFIER = (
    "Name a classifier, or pass a function or a layer from one vector to logits; a model that is one in spite of its "
    "configuration, load with AutoModelForSequenceClassification, say."
)


def other_answer(classes: Iterable[str]) -> str | None:
    """What a model of one of these classes answers; None of a classifier of whole items, and of what transformers lacks."""
    classes = list(classes)
    if any(name in _classes_of(WHOLE) for name in classes):
        return None
    told = (answer for answer, tasks in ANSWERS.items() for name in classes if name in _classes_of(tasks))
    return next(told, None)


@cache
def _classes_of(tasks: tuple[str, ...]) -> frozenset[str]:
    mappings = [getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES", {}) for task in tasks]
    found = [names for mapping in mappings for names in mapping.values()]
    return frozenset(name for names in found for name in ([names] if isinstance(names, str) else names))
