"""The model card: a specification's model for reading, as Markdown and as a picture."""
