"""What does a project of models consist of? The list of its models, and what their modules are called."""
