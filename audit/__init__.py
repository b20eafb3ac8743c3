# SPDX-License-Identifier: Apache-2.0
"""The trail: what was asked, allowed, refused and received, written down so that anyone can check it."""
