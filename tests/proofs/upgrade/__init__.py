"""Does an installation of 30e8d9b keep every event when this release takes it over?"""
