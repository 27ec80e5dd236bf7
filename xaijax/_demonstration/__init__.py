"""A real network that explains photographs at the command line: `python -m xaijax explain image.jpg`."""
