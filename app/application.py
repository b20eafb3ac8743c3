# SPDX-License-Identifier: Apache-2.0
"""The wiring: settings in, a finished WSGI application out."""

from collections.abc import Sequence

from flask import Flask

from access import oauth, parties_routes, people_routes, pushing, short_way
from access import pages as access_pages
from access import routes as access_routes
from access.networks import Network
from access.presented import BoundValidator, Validator
from access.short_way import ShortWay
from app import docs, health, metrics, openapi
from audit import export_routes, log_routes, review_routes, reward_routes
from audit import routes as audit_routes
from bureau import amendment_routes, coverage_routes, directory, discrepancy_routes, source_routes
from bureau import pages as bureau_pages
from bureau import routes as bureau_routes
from bureau.screening import routes as screening_routes
from connectors import repair_routes, webhook_routes
from connectors import routes as connectors_routes
from consent import credit_query, portal, screens
from consent import pages as consent_pages
from consent import requests_routes as consent_requests_routes
from consent import routes as consent_routes
from kernel import auth, pages, web
from kernel.shortened import shorten

BLUEPRINTS = (
    access_routes.blp,
    people_routes.blp,
    parties_routes.blp,
    consent_routes.blp,
    consent_requests_routes.blp,
    bureau_routes.blp,
    source_routes.blp,
    amendment_routes.blp,
    discrepancy_routes.blp,
    connectors_routes.blp,
    screening_routes.blp,
    coverage_routes.blp,
    bureau_pages.blp,
    webhook_routes.blp,
    repair_routes.blp,
    audit_routes.blp,
    review_routes.blp,
    export_routes.blp,
    log_routes.blp,
    reward_routes.blp,
    docs.blp,
    health.blp,
    metrics.blp,
)
PAGES = (access_pages.blp, consent_pages.blp, portal.blp)


def create_app(
    public_url: str,
    *,
    require_totp: str = "off",
    trusted_proxies: Sequence[Network] = (),
    metrics_token: str | None = None,
) -> Flask:
    """The WSGI application over an opened bureau; of `trusted_proxies` X-Forwarded-For is believed."""
    app = Flask("bureau", static_folder=None)
    app.config.update(openapi.CONFIG, BUREAU_PUBLIC_URL=public_url, BUREAU_REQUIRE_TOTP=require_totp)
    app.config["BUREAU_TRUSTED_PROXIES"] = tuple(trusted_proxies)
    app.config["BUREAU_METRICS_TOKEN"] = metrics_token
    web.install(app)
    pages.install(app)
    oauth.install(app)
    auth.protector.register_token_validator(Validator())
    auth.protector.register_token_validator(BoundValidator())
    pushing.details_types[credit_query.TYPE] = credit_query.read
    screens.use_names(directory.name_of)
    api = web.Api(app)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)
    for some_pages in PAGES:
        app.register_blueprint(some_pages)
    openapi.install(app, api)
    shorten(app, short_way.PATH, ShortWay(public_url, trusted_proxies))
    return app
