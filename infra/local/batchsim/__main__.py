"""`python -m batchsim`, the same as the command `batchsim`."""

from batchsim.cli import main

if __name__ == "__main__":
    main(prog_name="batchsim")
