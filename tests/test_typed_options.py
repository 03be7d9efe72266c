"""What editors complete is what the functions take."""

import inspect
from dataclasses import fields
from typing import get_type_hints

from irp_hf import AnchoredSpace
from irp_hf.encoding import encode
from irp_hf.encoding.base import EncodeOptions, EncoderOptions, Options
from irp_hf.hub.upload import PushOptions, push


def named(function):
    return {
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind == parameter.KEYWORD_ONLY
    }


def test_options_of_an_encoder():
    """If it fails, an option that exists is marked as an error in an editor, or one that does not is proposed."""
    assert {*get_type_hints(EncoderOptions)} == {entry.name for entry in fields(Options)}
    assert {*get_type_hints(EncodeOptions)} == named(encode)


def test_options_of_a_push():
    """If it fails, a keyword of `push_to_hub` is not completed, or is refused."""
    assert {*get_type_hints(PushOptions)} == named(push) - {"repo_type", "replaced", "check"}
    assert {*get_type_hints(PushOptions)} == named(AnchoredSpace.push_to_hub)
