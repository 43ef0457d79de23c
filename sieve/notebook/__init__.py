"""How objects show themselves in a notebook: HTML with its own style, no script, and nothing fetched by the browser."""
