"""The pending page: databases that do not match the models, as a page or as text, and the forms that apply a plan."""
