"""The HTTP API: parse, call one flow, answer. It keeps no state of its own; rows are the truth.

app            the application: its routes, its middleware, its errors
process        what one process has: services, threads, the feed of events
serving        runs it with uvicorn until a signal
listening      the socket that it is served on
authentication tokens, and a limit on failures
callers        who asks: scopes, and the account that a token is bound to
problems       errors as RFC 9457 problem details, and the one table of statuses
malformed      answers what is no HTTP
bodies         reads JSON bodies within bounds, and checks those that are no jobs
jobs           carries out a job, and answers with its outcome
versions       `ETag` and `If-Match`
positions      a place in the order of events, as clients keep it
feed           one reader of the outbox for all listeners
listening_tokens  the tokens of open streams, which end with them
parameters     path and query parameters that routes share
documents      the OpenAPI document
routes         every path, by its noun
"""
