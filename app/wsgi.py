# SPDX-License-Identifier: Apache-2.0
"""What a WSGI server loads, once in each worker process: `app.wsgi:application`."""

from app import create_app, open_bureau
from app.config import read
from app.logs import set_up

_settings = read()
set_up(_settings.log_level)
open_bureau(_settings)
application = create_app(_settings.public_url)
