# SPDX-License-Identifier: Apache-2.0
"""Who supplies which dataset of the demo city, and when: `SUPPLIES` for one that is plain, `MORE` for all 83."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from app.city import (
    abroad,
    books,
    court,
    establishment,
    events,
    faults,
    lending,
    merits,
    registers,
    series,
    utilities,
    workforce,
)
from app.city.firms import Firm
from app.city.months import Month
from app.city.series import Facts

# Why the bureau may hold it, by the catalogue's source kind (bureau.records.Batch.basis).
BASES = {
    "register": "public",
    "court": "public",
    "department": "department",
    "utility": "department",
    "lender": "lender",
    "self": "consent",
    "derived": "public",
}


Rhythm = Literal["start", "monthly", "quarterly", "yearly", "end"]


class Supply(NamedTuple):
    """One dataset from one source: when it comes, and the facts of a firm about a month (or up to it)."""

    dataset: str
    source: str
    rhythm: Rhythm
    facts: Callable[[Firm, Month], Facts]


SUPPLIES = (
    Supply("C1.01", "S01", "start", registers.registration),
    Supply("C1.03", "S01", "start", registers.officers),
    Supply("C7.01", "S01", "start", registers.shareholders),
    Supply("C7.02", "S01", "start", registers.investments),
    Supply("C1.06", "S01", "yearly", books.annual_report),
    Supply("C1.10", "S04", "quarterly", books.balance_sheet),
    Supply("C1.11", "S04", "quarterly", books.income_statement),
    Supply("C2.01", "S50", "monthly", series.power),
    Supply("C2.05", "S04", "monthly", books.tax),
    Supply("C2.06", "S04", "monthly", series.invoices),
    Supply("C2.07", "S05", "monthly", series.insurance),
    Supply("C6.02", "S43", "monthly", series.trade),
    *(Supply("C3.02", lender, "end", partial(events.loans, lender)) for lender in events.LENDERS),
    *(Supply("C3.08", lender, "end", partial(events.defaults, lender)) for lender in events.LENDERS),
    Supply("C4.03", "S17", "end", registers.certificate),
    Supply("C4.05", "S29", "end", registers.intellectual_property),
    Supply("C4.07", "S04", "end", registers.tax_grades),
    *(Supply("C4.10", authority, "end", partial(events.penalties, authority)) for authority in events.AUTHORITIES),
    Supply("C5.01", "S41", "end", events.suits),
    Supply("C5.04", "S41", "end", events.enforcement),
    Supply("C5.05", "S41", "end", events.dishonesty),
    Supply("C7.03", "S01", "end", events.pledges),
)

WATERWORKS, GASWORKS = ("S51", "S52", "S53", "S54", "S55"), ("S56", "S57", "S58", "S59")
# The other datasets of the catalogue, for a city that is whole.
MORE = (
    Supply("C1.01", "S02", "start", registers.copies),
    Supply("C1.02", "S01", "end", establishment.changes),
    Supply("C1.04", "S01", "end", establishment.branches),
    Supply("C1.05", "S01", "end", establishment.closing),
    Supply("C1.07", "S21", "end", establishment.tags),
    Supply("C1.08", "S31", "end", workforce.talents),
    Supply("C1.09", "self", "end", establishment.premises),
    Supply("C1.12", "S04", "quarterly", establishment.cash_flow),
    Supply("C1.13", "S20", "end", establishment.audits),
    *(Supply("C2.02", supplier, "monthly", partial(utilities.water, supplier)) for supplier in WATERWORKS),
    *(Supply("C2.03", supplier, "monthly", partial(utilities.gas, supplier)) for supplier in GASWORKS),
    Supply("C2.04", "S60", "monthly", utilities.steam),
    Supply("C2.08", "S07", "monthly", workforce.fund),
    Supply("C2.09", "S05", "monthly", workforce.employment),
    Supply("C2.10", "S18", "end", establishment.land),
    Supply("C2.11", "S35", "end", establishment.tenders),
    Supply("C2.12", "S62", "monthly", utilities.lines),
    *(Supply("C3.01", lender, "end", partial(lending.credit_lines, lender)) for lender in events.LENDERS),
    *(Supply("C3.03", lender, "end", partial(lending.instruments, lender)) for lender in events.LENDERS),
    *(Supply("C3.04", lender, "end", partial(lending.guarantees, lender)) for lender in events.LENDERS),
    Supply("C3.05", "S09", "end", lending.mortgages),
    Supply("C3.06", "S74", "end", lending.movables),
    Supply("C3.07", "S29", "end", lending.pledged_rights),
    Supply("C3.09", "S70", "monthly", lending.backed),
    Supply("C3.10", "S71", "monthly", lending.leasing),
    Supply("C3.11", "S72", "monthly", lending.insured_loans),
    Supply("C3.12", "S75", "end", lending.overdue_bills),
    Supply("C4.01", "S02", "end", merits.licences),
    Supply("C4.02", "S12", "end", merits.qualifications),
    Supply("C4.04", "S18", "end", merits.titles),
    *(Supply("C4.06", agency, "end", partial(merits.awards, agency)) for agency in merits.AGENCIES),
    Supply("C4.08", "S10", "end", merits.sector_grades),
    Supply("C4.09", "S34", "end", merits.honours),
    Supply("C4.11", "S10", "end", faults.environment),
    Supply("C4.12", "S04", "quarterly", faults.tax_arrears),
    Supply("C4.13", "S04", "end", faults.major_tax),
    Supply("C4.14", "S11", "end", faults.safety),
    Supply("C4.15", "S05", "end", faults.injuries),
    Supply("C4.16", "S05", "end", faults.labour),
    Supply("C4.17", "S01", "end", faults.samples),
    Supply("C4.18", "S01", "end", faults.abnormal),
    Supply("C4.19", "S05", "end", faults.dishonest),
    *(Supply("C4.20", each, "end", partial(faults.inspections, each)) for each in faults.INSPECTORS),
    Supply("C4.21", "S34", "end", merits.commitments),
    Supply("C4.22", "S01", "end", faults.complaints),
    Supply("C5.02", "S41", "end", court.hearings),
    Supply("C5.03", "S41", "end", court.judgments),
    Supply("C5.06", "S41", "end", court.consumption_limits),
    Supply("C5.07", "S41", "end", court.terminated),
    Supply("C5.08", "S41", "end", court.seizures),
    Supply("C5.09", "S41", "end", court.auctions),
    Supply("C5.10", "S41", "end", court.insolvency),
    Supply("C6.01", "S43", "end", abroad.registration),
    Supply("C6.03", "S43", "monthly", abroad.declarations),
    Supply("C6.04", "S43", "monthly", abroad.duty),
    Supply("C6.05", "S43", "end", abroad.penalties),
    Supply("C6.06", "S45", "monthly", abroad.currency),
    Supply("C6.07", "S73", "monthly", abroad.export_insurance),
    Supply("C7.04", "S41", "end", court.equity_freezes),
    Supply("C7.05", "S01", "end", abroad.equity_changes),
    Supply("C7.06", "derived", "end", abroad.controllers),
    Supply("C7.07", "self", "end", abroad.rounds),
)
