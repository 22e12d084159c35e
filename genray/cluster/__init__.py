"""Sweeps and training over Ray: the only folder whose files import ray."""
