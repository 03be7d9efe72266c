"""Options are those of the library, by their names there."""

import inspect
from pathlib import Path
from typing import get_args

import pytest
from typer.main import get_command

import irp_hf
from irp_hf.anchors.sampling import Strategy
from irp_hf.encoding.base import EncodeOptions, EncoderSettings
from irp_hf.hub.upload import PushOptions
from irp_hf.maths.request import HELD_OUT, OBJECTIVES, FitOptions, MethodOrAuto
from irp_hf.stores import reencode, translate_store, verify_store
from irp_hf_cli import app, options

COMMANDS = get_command(app).commands
ROOT = Path(__file__).resolve().parent.parent.parent
FIT = {*FitOptions.__annotations__, "method", "objective", "head"}
ENCODE = {*EncodeOptions.__annotations__} - {"processor", "token", "out"}  # an object, a secret, and what is --out here
SETTINGS = {*EncoderSettings.__annotations__} - {"processor"}
PUSH = {*PushOptions.__annotations__} - {"token"}
MIRRORED = {
    "anchors": ({*inspect.signature(irp_hf.AnchorSet.sample).parameters} - {"dataset", "views"}),
    "encode": ENCODE | {"view", "background", "canary"} | {"sample"},
    "connect": FIT | {"background", "pairs"},
    "fit": FIT | {"source_background", "target_background"},
    "report": {*inspect.signature(irp_hf.IRPAdapter.report).parameters} - {"self", "against"},
    "classify": {"encoder", "head", "top_k", "function_to_apply", "return_confidence", "batch_size", "device"},
    "push": PUSH | {"license", "report"},
    "find": {"anchors"},
    "verify": {*inspect.signature(verify_store).parameters} - {"settings"} | SETTINGS,
    "reencode": {*inspect.signature(reencode).parameters} - {"settings"} | SETTINGS,
    "translate": {*inspect.signature(translate_store).parameters},
}


@pytest.mark.parametrize("name", MIRRORED)
def test_a_command_has_the_options_of_its_call(name):
    """If it fails, something that Python can ask for has no option, or one by another name."""
    assert MIRRORED[name] <= {parameter.name for parameter in COMMANDS[name].params}


def test_choices_are_those_of_the_library():
    """If it fails, help and completion offer what is refused, or hide what there is."""
    assert set(options.METHODS) == set(get_args(MethodOrAuto))
    assert options.OBJECTIVES == OBJECTIVES
    assert options.FOLDS == HELD_OUT
    assert set(options.STRATEGIES) == set(get_args(Strategy))


def test_defaults_are_those_of_the_library():
    """If it fails, the same call gives another result from a shell than from Python."""
    calls = {
        "anchors": irp_hf.AnchorSet.sample,
        "connect": irp_hf.IRPAdapter.connect,
        "fit": irp_hf.IRPAdapter.from_anchors,
    }
    for name, call in calls.items():
        known = inspect.signature(call).parameters
        for parameter in COMMANDS[name].params:
            given = known.get(parameter.name)
            if given is not None and given.default is not given.empty and parameter.name != "column":
                assert parameter.default == known[parameter.name].default, (name, parameter.name)


def test_every_option_has_its_help():
    """If it fails, somebody has to read the code to know what an option is."""
    for command in COMMANDS.values():
        assert all(parameter.help for parameter in command.params), command.name
