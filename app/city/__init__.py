# SPDX-License-Identifier: Apache-2.0
"""The demo city: invented enterprises whose records hang together, the same wherever the seed is the same.

    city = list(firms(2000))
    for batch in batches(city): receive(batch)

Nobody in it exists. Codes carry the unassigned division 320599, names are marked 演示, persons are numbered.
What an enterprise looks like depends on the seed and its own code alone, never on how many others there are
or in which order. No database, no clock. To be read downwards: `names`, `months`, `firms`, `contradictions`;
then `series`, `books`, `registers` and `events`, which turn one firm and one month into records, and what
follows from them (`lending`, `court`, …); then `supplies` and `deliveries`.
Shares and sizes are our own proposal, chosen to look like a manufacturing city; nothing here is a statistic.
"""

from app.city.contracts import contract_of
from app.city.deliveries import batches
from app.city.firms import Firm, firms, firms_of
from app.city.names import demo_institutions
from app.city.supplies import MORE, SUPPLIES

WHOLE = SUPPLIES + MORE  # all 83 datasets of the catalogue

__all__ = ["SUPPLIES", "WHOLE", "Firm", "batches", "contract_of", "demo_institutions", "firms", "firms_of"]
