"""The cost of explanations: time, memory and accuracy, compared with the bare model and with other packages."""
