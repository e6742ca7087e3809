"""The page that says what is pending: what differs, as a page or as text, and the forms that apply it."""
