"""The command line: parse, call one flow, format. `tree` knows every command by its name; `main` is the console script.

commands   one file for each group of commands
doctor     `doctor`: is anything wrong here, and what is to be done
top        `top`: what lives, on one screen that moves
demo       `demo`: a session's life against simulated platforms
views      tables and reports
shared     options, output, errors; how commands send jobs and read the database
"""
