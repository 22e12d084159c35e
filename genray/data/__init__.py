"""Datasets as uint8 arrays with fixed splits, and the batches that training reads from them."""
