"""What explanations cost, beside the bare model."""
