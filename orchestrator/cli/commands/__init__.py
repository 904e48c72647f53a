"""The commands, by the noun that they begin with.

sessions, session_list, session_jobs, session_options, endpoints, close_many   `session …`
tokens, api, webhooks                                `token …`, `api`, `webhook …`
accounts, models, providers, messages, clock         `account …`, `model …`, `provider …`, `messages …`, `clock …`
events, audit, reconciling, jobs                     `events`, `audit`, `reconcile`, `jobs …`
init                                                 `init`
policy, configuration                                `policy …`, `config …`
costs                                                `costs …`
upkeep                                               `migrate`, `apply`, `simulator`
"""
