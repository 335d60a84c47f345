"""How does everything start on one machine, and end with nothing left?"""
