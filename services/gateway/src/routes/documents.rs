use actix_web::{HttpResponse, web};

use crate::docs::{Documents, Page};
use crate::edge::UpstreamHealth;

/// `/openapi.json`: the public API of all services.
pub(crate) async fn openapi(documents: web::Data<Documents>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("cache-control", "public, max-age=30"))
        .body(documents.merged())
}

/// `/docs`: the same for people.
pub(crate) async fn page(page: web::Data<Page>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header(("content-security-policy", page.policy.as_str()))
        .body(page.html.clone())
}

/// `/health/upstreams`: which services are ready.
pub(crate) async fn upstreams(health: web::Data<UpstreamHealth>) -> HttpResponse {
    HttpResponse::Ok().json(health.states())
}
