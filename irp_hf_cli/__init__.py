"""The command line `irp-hf`, beside the library and not in it: help needs no torch, and `irp_hf` is imported by what runs."""

from irp_hf_cli.app import app, main

__all__ = ["app", "main"]
