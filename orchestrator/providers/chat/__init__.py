"""The minimal ping over OpenAI's wire format.

ping          sends it and reads the answer
alive         which answers with status 200 prove that a model works
token_limits  which body to try next when a server refuses the last one
"""
