"""`python -m batchdrop.cli`, the same as the command `batchdrop`."""

from batchdrop.cli import main

if __name__ == "__main__":
    main(prog_name="batchdrop")
