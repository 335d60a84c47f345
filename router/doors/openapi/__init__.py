"""How is the router's API described, to programs and to people?"""
