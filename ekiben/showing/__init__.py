"""How do reports, status, history and explanations look on a terminal?"""
