"""What does the wheel install, and does everything work from it, far from this checkout?"""
