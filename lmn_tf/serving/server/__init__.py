"""HTTP server of an export: `lmn-tf serve`."""
