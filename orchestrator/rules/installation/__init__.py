"""Clocks, processes, messages and retention of one installation.

clock, correction     whether the store's clock can be trusted; which rows a wrong clock leaves behind
liveness              which processes are missing, or die again and again
installation_alarms   alarms about the installation itself
messages, message_head, unread_messages   which messages may reach a task, and what may be shown of the others
message_size, delivery_times              how much a message may hold; when its job may begin, and until when
secret_texts          which texts refer to secrets; URLs without passwords; URLs that check certificates
minutes               what is counted in a minute, and how long minutes are kept
retention             what leaves the live tables, and when
descriptors           how many calls fit under a limit of open files
"""
