# SPDX-License-Identifier: Apache-2.0
"""Screening (信息筛选, requirements G4): enterprises found by their indicators, of those that let themselves be found.

    terms      the conditions of a screening, read and checked
    columns    indicators as columns of narrow numbers, and a snapshot of them in one stretch of memory
    engine     masks over columns, three-valued, exact
    sheets     how columns are stored: some enterprises at a time, encrypted
    index      built whole, patched where something changed, numbered in versions
    shared     the columns opened once, in memory that all workers map
    masks      whom an institution may find, kept current by the consents that changed
    found      a page; `described`: the list of indicators; `exported`: many rows at once, for a spreadsheet

What a page may show is decided in `bureau/disclosure_many.py`, the one door.
"""
