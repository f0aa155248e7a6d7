"""`python -m batchsim`, the same as the command `batchsim`."""

import sys

try:
    from batchsim.cli import main
except ModuleNotFoundError as exc:
    sys.exit(f"{exc}. batchsim needs more: pip install 'batchdrop[sim]'")

if __name__ == "__main__":
    main(prog_name="batchsim")
