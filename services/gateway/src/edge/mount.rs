use std::rc::Rc;

use actix_web::guard::fn_guard;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, Resource, Route};

use super::forward::forward;
use super::gate::{Admitted, Edge, gate};
use super::merge::merge_cart;
use super::table::{Own, Rule, Target, by_path};
use crate::routes::{
    api_keys, auth, documents, email_changes, oauth, order_events, password_resets, stock_events, users,
};

/// What every service's server answers itself.
const COMMON: [&str; 4] = ["/health/live", "/health/ready", "/metrics", "/openapi.json"];

/// Makes an actix resource of every path of the table, and one of all that is not in it.
pub(crate) fn mount(config: &mut ServiceConfig) {
    for (path, rules) in by_path() {
        let mut resource = web::resource(path);
        for rule in &rules {
            resource = add(resource, rule);
        }
        let rules: Rc<[&'static Rule]> = rules.into();
        config.service(resource.wrap(from_fn(move |request, next| {
            gate(Rc::clone(&rules), request, next)
        })));
    }
    // Unknown paths are limited as well: they are what scanners ask for.
    let nothing: Rc<[&'static Rule]> = Rc::new([]);
    let unknown = web::resource("/{unknown:.*}")
        .guard(fn_guard(|request| !COMMON.contains(&request.head().uri.path())));
    config.service(unknown.wrap(from_fn(move |request, next| {
        gate(Rc::clone(&nothing), request, next)
    })));
}

fn add(resource: Resource, rule: &Rule) -> Resource {
    let route = web::method(rule.verb.method());
    let resource = if rule.target == Target::Own(Own::LogIn) {
        // OAuth clients send a form to the same place.
        let form = web::method(rule.verb.method())
            .guard(fn_guard(|request| oauth::is_form(request.head().headers())));
        resource.route(form.to(oauth::token))
    } else {
        resource
    };
    resource.route(match rule.target {
        Target::Own(endpoint) => own(route, endpoint),
        Target::MergeCart => route.to(merge_cart),
        Target::Forward(service) => route.to(
            move |request: HttpRequest,
                  payload: web::Payload,
                  admitted: web::ReqData<Admitted>,
                  edge: web::Data<Edge>| forward(service, request, payload, admitted, edge),
        ),
    })
}

fn own(route: Route, endpoint: Own) -> Route {
    match endpoint {
        Own::Register => route.to(users::register),
        Own::ReadProfile => route.to(users::get),
        Own::PutProfile => route.to(users::put),
        Own::PatchProfile => route.to(users::patch),
        Own::PutRoles => route.to(users::put_roles),
        Own::EndSessions => route.to(users::end_sessions),
        Own::CreateApiKey => route.to(api_keys::create),
        Own::ListApiKeys => route.to(api_keys::list),
        Own::RevokeApiKey => route.to(api_keys::revoke),
        Own::LogIn => route.to(auth::log_in),
        Own::Refresh => route.to(auth::refresh),
        Own::LogOut => route.to(auth::log_out),
        Own::Guest => route.to(auth::guest),
        Own::AskPasswordReset => route.to(password_resets::ask),
        Own::ConfirmPasswordReset => route.to(password_resets::confirm),
        Own::ConfirmEmailChange => route.to(email_changes::confirm),
        Own::Jwks => route.to(auth::jwks),
        Own::StockEvents => route.to(stock_events::stream),
        Own::OrderEvents => route.to(order_events::stream),
        Own::OpenApi => route.to(documents::openapi),
        Own::Docs => route.to(documents::page),
        Own::Upstreams => route.to(documents::upstreams),
    }
}
