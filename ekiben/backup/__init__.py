"""How is an installation saved while it runs, and how is it restored?"""
