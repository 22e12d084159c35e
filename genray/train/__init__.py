"""The loop that trains every model, and what it stands on."""
