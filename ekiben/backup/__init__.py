"""How is an installation saved while it runs, and brought back?"""
