"""How do router and controller speak HTTP, within bounds?"""
