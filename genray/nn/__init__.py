"""Layers, losses and noise: what models are made of."""
