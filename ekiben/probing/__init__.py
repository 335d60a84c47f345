"""What is a server that runs already, and how is it written into the experiments file?"""
