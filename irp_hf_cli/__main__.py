"""`python -m irp_hf_cli`: `irp-hf` where the script is not on the path."""

from irp_hf_cli.app import main

main()
