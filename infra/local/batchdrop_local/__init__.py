"""The whole of batchdrop on one machine."""
