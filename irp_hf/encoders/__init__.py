"""Encoders of every kind, each behind the same `irp_hf.encoders.base.Encoder`."""
