"""Pictures: of a model, of its codes, of what its samples lie beside, for a run's folder, TensorBoard and the page."""
