"""Attacks on a real installation: what they need, what they did, and what the product has to answer."""
