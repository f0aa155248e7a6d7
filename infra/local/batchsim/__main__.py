"""`python -m batchsim`, the same as the command `batchsim`."""

import sys

try:
    from batchsim.cli import main
except ModuleNotFoundError as exc:
    print(
        f"{exc}. The command `batchsim` needs an extra: pip install 'batchdrop[sim]'",
        file=sys.stderr,
    )
    raise SystemExit(2) from None

if __name__ == "__main__":
    main(prog_name="batchsim")
