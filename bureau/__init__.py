# SPDX-License-Identifier: Apache-2.0
"""The bureau itself: catalogue, intake, vault, and disclosure, the one door through which facts leave."""
