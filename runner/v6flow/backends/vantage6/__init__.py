"""The backend for a real vantage6 4.x server.

From the outside in: `api` (typed calls) ← `directory` (names for ids), `dialects` (what a server's version can) ← `session`
(who we are) ← `transport` (HTTP) ← `wire` (sockets). `encryption` is pure and stands beside them.
"""
