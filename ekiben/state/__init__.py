"""What do router, controller and command line exchange through the state Redis?"""
