"""What does the router cost, and gain, in front of BentoML services that know nothing of Ekiben?"""
