"""How are Bentos and images built, and how do they run in compose and on Kubernetes?"""
