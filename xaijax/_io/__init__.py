"""Attributions as files, records and objects of other packages."""
