"""FPT AI Studio, and any plain JSON control API.

driver    chooses between the two ways below
attach    endpoints that another party opens and ends
template  a control API that the configuration describes
control   the calls of a template, and what their answers mean
templates, placeholders, template_faults   templates of calls: types, `{placeholders}`, errors
options   its configuration
"""
