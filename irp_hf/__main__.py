"""`python -m irp_hf` is `irp-hf`, the command line."""

from irp_hf_cli import main

if __name__ == "__main__":
    main()
