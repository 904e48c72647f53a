"""The Morpheus consumer node: on-chain sessions, opened and closed by one wallet.

driver  the driver
chain   the sessions of a wallet as the node shows them
wallet  which of them an order has made
"""
