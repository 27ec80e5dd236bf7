"""Calls every public function and method with wrong values for each of its arguments, and lists the raw tracebacks."""
