# SPDX-License-Identifier: Apache-2.0
"""The counter and the edge: commands, and a WSGI application. Nobody imports app; app imports everyone."""
