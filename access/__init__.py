# SPDX-License-Identifier: Apache-2.0
"""Who is calling: institutions, sources, their OAuth2 clients and tokens; people and their sessions."""
