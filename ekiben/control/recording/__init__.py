"""How do events become files, each once, and how long do they stay?"""
