"""OpenAI's wire format: the minimal ping, and what a person asks.

ping          sends it, and says whether the answer proves that a model works
token_limits  which body to try next when a server refuses the last one
conversation  one chat completion or transcription that a person asks for
"""
