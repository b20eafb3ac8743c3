# SPDX-License-Identifier: Apache-2.0
"""The outside world: what departments deliver, put into the catalogue's words for the bureau's intake.

One delivery is read downwards: `feeds.pull` → `readers.read` → `mapping.map_row` → `money.parse`.
A new department is one TOML file under `feeds/` and one test.
"""
