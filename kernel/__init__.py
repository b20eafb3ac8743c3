# SPDX-License-Identifier: Apache-2.0
"""The ground floor: what every room stands on, and what knows nothing of credit."""
