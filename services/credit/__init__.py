"""How does `credit` answer? Its schema, its network, and its versions."""
