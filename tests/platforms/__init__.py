"""All platforms at once: real flows and drivers before simulated upstreams, as stories."""
