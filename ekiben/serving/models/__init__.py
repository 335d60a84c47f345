"""What computes: how is a published version loaded, and how are its scores computed?"""
