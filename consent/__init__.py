# SPDX-License-Identifier: Apache-2.0
"""What the enterprise allows: granted, revoked, and the one consent that decides a question."""
