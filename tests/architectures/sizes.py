"""What makes a transformers config tiny: names that most of them share, and by model type what these do not reach."""

from typing import Any

SIZES = {  # at most, where a default config has a positive number of that name
    name: size
    for size, names in {
        64: "vocab_size intermediate_size d_ff encoder_ffn_dim decoder_ffn_dim d_inner max_length",
        32: "hidden_size d_model embed_dim embedding_size image_size num_mel_bins moe_intermediate_size",
        16: "entity_vocab_size q_lora_rank sliding_window",
        8: "head_dim d_head qk_rope_head_dim qk_nope_head_dim v_head_dim patch_size",
        4: "num_attention_heads num_key_value_heads decoder_attention_heads num_experts num_local_experts num_frames",
        2: "num_hidden_layers num_experts_per_tok type_vocab_size",
        1: "n_group topk_group",
    }.items()
    for name in names.split()
}
IDS = {"eos_token_id": 2, "pad_token_id": 0}

FOUR_STAGES = {"hidden_sizes": [8, 16, 24, 32]}
PYRAMID = {**FOUR_STAGES, "num_attention_heads": [1, 2, 4, 4]}
WINDOWS = {"depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
WAVES = {"conv_dim": [16] * 7}
LINEAR_ATTENTION = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}

OVERRIDES: dict[str, dict[str, Any]] = {  # by model type; ... leaves a name out
    "bit": {**FOUR_STAGES, "num_groups": 2},
    "canine": {"num_hash_buckets": 32},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "convnext": {**FOUR_STAGES, "num_stages": 4},
    "convnextv2": {**FOUR_STAGES, "num_stages": 4},
    "ctrl": {"dff": 64},
    "cvt": {"embed_dim": [8, 16, 32], "num_heads": [1, 2, 4]},
    "data2vec-audio": WAVES,
    "deepseek_v2": {"num_experts_per_tok": 2},
    "donut-swin": WINDOWS,
    "efficientnet": {"width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320},
    "esm": {"vocab_size": 64},
    "falcon": {"head_dim": ...},
    "focalnet": {"depths": [1, 1]},
    "funnel": {"num_hidden_layers": ...},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 8},
    "hgnet_v2": {
        "hidden_sizes": [16, 24, 32, 40],
        "stage_in_channels": [48, 16, 24, 32],
        "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [16, 24, 32, 40],
    },
    "hiera": {
        "depths": [1, 1, 1],
        "embed_dim": 16,
        "image_size": [64, 64],
        "masked_unit_size": [4, 4],
        "num_heads": [1, 2, 4],
        "num_query_pool": 2,
    },
    "hubert": WAVES,
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "imagegpt": {"vocab_size": 257},
    "jamba": {"attn_layer_offset": 1},
    "layoutlmv3": {"coordinate_size": 4, "shape_size": 8},
    "levit": {"hidden_sizes": [16, 24, 32], "patch_size": 16},
    "lilt": {"hidden_size": 48},
    "longformer": {"attention_window": [8, 8]},
    "ministral": {"head_dim": 8},
    "mistral4": {"head_dim": ...},
    "mobilevit": {"hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 32, 40]},
    "mobilevitv2": {"image_size": 64},
    "nemotron": {"num_key_value_heads": 4},
    "perceiver": {"d_latents": 32, "num_self_attends_per_block": 1, "num_cross_attention_heads": 1},
    "poolformer": FOUR_STAGES,
    "pvt": PYRAMID,
    "pvt_v2": PYRAMID,
    "qwen3_5": {"text_config": LINEAR_ATTENTION},
    "qwen3_5_text": LINEAR_ATTENTION,
    "qwen3_next": LINEAR_ATTENTION,
    "reformer": {"axial_pos_embds": False},
    "regnet": FOUR_STAGES,
    "resnet": FOUR_STAGES,
    "roc_bert": {"pronunciation_vocab_size": 64, "shape_vocab_size": 64},
    "sew": {"conv_dim": [16] * 13},
    "sew-d": {"conv_dim": [16] * 13},
    "shieldgemma2": {"mm_tokens_per_image": 4, "yes_token_index": 10, "no_token_index": 11},
    "swiftformer": {"embed_dims": [8, 16, 24, 32]},
    "swin": WINDOWS,
    "swinv2": WINDOWS,
    "t5": {"decoder_start_token_id": 0},
    "textnet": {"hidden_sizes": [8, 8, 16, 24, 32], "image_size": 32, "stem_out_channels": 8},
    "unispeech": WAVES,
    "unispeech-sat": WAVES,
    "vjepa2": {"crop_size": 32, "pred_hidden_size": 24},
    "wav2vec2": WAVES,
    "wav2vec2-bert": {"feature_projection_input_dim": 32},
    "wav2vec2-conformer": WAVES,
    "wavlm": WAVES,
    "whisper": {"max_source_positions": 64},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"num_hidden_layers": 3, "layers_block_type": ["mamba", "hybrid", "hybrid"]},
    "zamba2": {"n_mamba_heads": 4, "layers_block_type": ["mamba", "hybrid"]},
}
