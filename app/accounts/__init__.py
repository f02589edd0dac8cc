"""People: signing in, roles, accounts, API tokens, one-time links."""
