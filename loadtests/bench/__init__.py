"""How fast is the router beside the service called directly, in one run?"""
