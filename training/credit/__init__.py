"""How is `credit` trained? Its data, its versions, and what they earn."""
