"""How does everything start on one machine, and how does it end with nothing left?"""
