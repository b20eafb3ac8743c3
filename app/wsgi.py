# SPDX-License-Identifier: Apache-2.0
"""What a WSGI server loads, once in each worker process: `app.wsgi:application`."""

import gc

from app.application import create_app
from app.config import read
from app.logs import set_up
from app.opening import open_bureau
from audit import watch
from bureau.screening import shared, versions
from kernel import clock

_settings = read()
set_up(_settings.log_level)
open_bureau(_settings)
if _settings.screening_socket is not None:
    versions.use(shared.Borrowed(_settings.screening_socket))
application = create_app(
    _settings.public_url,
    require_totp=_settings.require_totp,
    trusted_proxies=_settings.trusted_proxies,
    metrics_token=_settings.metrics_token,
)
watch.begin(clock.now())  # answers only as long as the trail is sealed and witnessed
gc.collect()
gc.freeze()  # what the start made lives as long as the process: never look at it again
