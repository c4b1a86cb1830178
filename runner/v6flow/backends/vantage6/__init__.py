"""The backend for a real vantage6 4.x server.

From the inside out: `wire` (sockets) ← `transport` (HTTP) ← `session` (who we are) ← `directory` (names for ids) and
`dialects` (what the server's version can) ← `api` (typed calls) ← `connecting`. `encryption` is pure and beside them.
"""
