"""The web console: pages for people, in the process of the API. What a page shows and does goes through the API's own
routes under the same token, so that no person sees or does more here than there.

site       one address for both: the API's paths, and pages at all others
app        the application of the pages: routes, middleware, errors
session    sign in with a token, and the cookie that keeps it
guards     headers of every page; which requests may change something
access     which page needs what of the token
backend    asks the API's routes in this process
pages      templates, and what every page has
forms      what a form sent: the token against forgery, and the key under which it acts once
wording    times, money and states as people read them
charts     the last hour, one line for each measure
drawing    lanes and lines as SVG, without scripts
views      every page, by its noun
"""
