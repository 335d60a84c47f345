"""What does a report cost?"""
