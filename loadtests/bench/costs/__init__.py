"""What does one request cost each part, and what did it cost before?"""
