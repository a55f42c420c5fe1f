"""Measurements that are run by hand; nothing in here is part of the package."""
