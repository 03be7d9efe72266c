"""Audio encoders, against the direct call of each waveform alone, where nothing is padded."""

import io

import numpy as np
import pytest
import soundfile
import tiny_encoders as tiny
import torch
from says import says
from tiny_encoders import LAYERS, RATE, SPEECH, VOCAB
from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from irp_hf import InputError
from irp_hf.encoding import encode
from irp_hf.encoding.base import Options
from irp_hf.encoding.open import open_encoder

WHISPER = dict(d_model=16, encoder_layers=2, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=16)
WHISPER |= dict(encoder_attention_heads=2, decoder_attention_heads=2, max_source_positions=50, max_target_positions=16)
WHISPER |= VOCAB | dict(decoder_start_token_id=1, suppress_tokens=None, begin_suppress_tokens=None)
MASKED = dict(sampling_rate=RATE, return_attention_mask=True)
MODELS = {
    "wav2vec2, heeds its mask": (
        "wav2vec2",
        LAYERS | SPEECH | dict(feat_extract_norm="layer", do_stable_layer_norm=True),
    ),
    "wav2vec2, sees padding": ("wav2vec2", LAYERS | SPEECH),
    "hubert": ("hubert", LAYERS | SPEECH),
    "wavlm": ("wavlm", LAYERS | SPEECH | dict(feat_extract_norm="layer")),
}


def speech(name: str = "wav2vec2, heeds its mask") -> tuple:
    kind, settings = MODELS[name]
    return tiny.model(kind, **settings), Wav2Vec2FeatureExtractor(
        sampling_rate=RATE, return_attention_mask="heeds" in name
    )


@torch.no_grad()
def alone(model, extractor, waves) -> torch.Tensor:
    inputs = [extractor(wave, sampling_rate=RATE, return_tensors="pt")["input_values"] for wave in waves]
    return torch.stack([model(values).last_hidden_state[0].mean(0) for values in inputs])


@pytest.mark.parametrize("name", MODELS)
def test_every_row_is_as_if_alone(name, tmp_path):
    """The mean is over frames of sound; models whose group norm sees padding get none."""
    model, extractor = speech(name)
    folder = tiny.save(tmp_path, model, extractor)
    wanted = alone(model, extractor, tiny.waves())
    for batch_size in (1, 2, 5):
        found, record = encode(folder, tiny.waves(), pooling="mean", batch_size=batch_size, device="cpu")
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert record["modality"] == "audio"


def test_a_padded_batch_is_one_call_where_that_is_right():
    """Otherwise a GPU would wait: the model that heeds its mask gets five waveforms at once, the other one at a time."""
    for name, calls in (("wav2vec2, heeds its mask", 1), ("wav2vec2, sees padding", 5)):
        model, extractor = speech(name)
        encoder = open_encoder(model, Options(pooling="mean", processor=extractor))
        seen = []
        model.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        encoder.embed(tiny.waves())
        assert len(seen) == calls


def test_one_length_at_a_time_keeps_the_order():
    """Where lengths come again after others."""
    model, extractor = speech("wav2vec2, sees padding")
    encoder = open_encoder(model, Options(pooling="mean", processor=extractor))
    waves = [wave[:length] for wave, length in zip(tiny.waves(), (2900, 2500, 2900, 2700, 2500), strict=True)]
    with torch.no_grad():
        torch.testing.assert_close(encoder.embed(waves), alone(model, extractor, waves), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_whisper_is_read_by_its_encoder_over_real_frames(tmp_path):
    """Its frames cover a fixed time; the mean leaves out those after the sound."""
    model, extractor = tiny.model("whisper", **WHISPER), WhisperFeatureExtractor(feature_size=16, chunk_length=1)
    folder = tiny.save(tmp_path, model, extractor)
    rows = []
    for wave in tiny.waves():
        features = extractor(wave, sampling_rate=RATE, return_tensors="pt")["input_features"]
        frames = -(-len(wave) // 320)  # two steps of 160 samples each
        rows.append(model.get_encoder()(features).last_hidden_state[0, :frames].mean(0))
    for batch_size in (1, 2, 5):
        found = encode(folder, tiny.waves(), pooling="mean", batch_size=batch_size, device="cpu")[0]
        torch.testing.assert_close(found, torch.stack(rows), atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["pooler", "mean"])
def test_spectrogram_transformers(pooling, tmp_path):
    """AST, whose spectrograms have a fixed length."""
    settings = dict(max_length=64, num_mel_bins=32)
    model, extractor = (
        tiny.model("audio-spectrogram-transformer", **LAYERS, **settings),
        ASTFeatureExtractor(**settings),
    )
    folder = tiny.save(tmp_path, model, extractor)
    output = model(extractor(tiny.waves(), sampling_rate=RATE, return_tensors="pt")["input_values"])
    wanted = output.pooler_output if pooling == "pooler" else output.last_hidden_state.mean(1)
    found = encode(folder, tiny.waves(), pooling=pooling, batch_size=2, device="cpu")[0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_waveforms_of_every_kind_are_one(tmp_path):
    """Arrays of any float, what `datasets` decodes to, tensors, files and their bytes."""
    model, extractor = speech()
    waves = [np.round(wave * 2**15).clip(-(2**15), 2**15 - 1).astype(np.float32) / 2**15 for wave in tiny.waves()]
    paths = [tmp_path / f"{row}.wav" for row in range(len(waves))]
    for wave, path in zip(waves, paths, strict=True):
        soundfile.write(path, wave, RATE)
    options = dict(pooling="mean", processor=extractor)
    wanted = encode(model, waves, **options)[0]
    decoded = [{"array": wave, "sampling_rate": RATE, "path": None} for wave in waves]
    undecoded = [{"bytes": path.read_bytes(), "path": None} for path in paths]
    doubles, tensors = [wave.astype(np.float64) for wave in waves], [torch.from_numpy(wave) for wave in waves]
    tracked = [tensor.clone().requires_grad_() for tensor in tensors]
    for items in (decoded, undecoded, doubles, tensors, tracked, paths, [str(path) for path in paths]):
        torch.testing.assert_close(encode(model, items, **options)[0], wanted, atol=1e-6, rtol=0)


class Undecodable:
    """As `datasets` gives a sound whose file is broken."""

    get_all_samples = None

    def __getitem__(self, key: str) -> object:
        raise RuntimeError("out of frames")


def test_waveforms_that_cannot_be_read(refusal, tmp_path):
    """Each in words, with its row: another rate would be another sound."""
    model, extractor = speech()
    good = tiny.waves()[0]

    def refused(item: object) -> str:
        return refusal(encode, model, [good, item], pooling="mean", processor=extractor, error=InputError)

    other_rate = refused({"array": good, "sampling_rate": 44100})
    assert says(other_rate, "Item 1", 44100, "Wav2Vec2Model", 16000, "Audio(16000)")
    assert says(refused(np.zeros((2, 100), np.float32)), "Item 1", "(2, 100)", "(t,)")
    assert says(refused(np.zeros(100, np.int16)), "int16", "(100,)")
    assert says(refused(np.full(100, np.nan)), "Item 1", "NaN")
    for item in ([[0.1], [0.1, 0.2]], torch.zeros(100, dtype=torch.bfloat16)):
        assert says(refused(item), "Item 1", "a waveform")
    assert says(refused(Undecodable()), "Item 1", "out of frames")
    assert says(refused(good[:4]), "Wav2Vec2Model", "frame")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    assert says(refused(broken), "Item 1", broken, "soundfile")
    assert says(refused(tmp_path / "missing.wav"), "missing.wav", "No such file or directory")
    slow = io.BytesIO()
    soundfile.write(slow, good, 8000, format="WAV")
    assert says(refused(slow.getvalue()), 8000, 16000)
    nothing_said = refusal(encode, model, [good], processor=extractor, error=InputError)
    assert says(nothing_said, "pooling", "'mean'", "Wav2Vec2Model", None)
