"""What a fusion model is for: tasks whose answer needs the picture and the text."""
