"""What several drivers use.

driver_type   options, constructor and card of a driver, for the registry
options       the options of every driver; `patterns` describes their texts in words
lifecycle     control calls: refusals, closes without an answer, lists of models
starting      waits for what an open has started
always_on     drivers without a lifecycle
looks         whether a server answers while it works on another request
paths, numbers   read values out of answers
"""
