"""Hands the classes of irp_hf to `trust_remote_code=True`, where it is installed; copied beside every saved model."""

try:
    from irp_hf import AnchoredSpace, AnchoredSpaceConfig, IRPAdapter, IRPConfig  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "irp_hf":
        raise
    raise ImportError("This model is made with irp_hf, which is not installed. Run: pip install irp_hf") from None
