"""The command `lmn-tf`."""
