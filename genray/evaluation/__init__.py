"""Scoring a model's samples by the metrics, beside the floor of real images."""
