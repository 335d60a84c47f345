"""How do events and outcomes travel through Redis, each once and within a byte limit?"""
