"""How do events become files, each once, and how long are they kept?"""
