use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use ferrocart_http_kit::Problem;
use ferrocart_http_kit::sse::Watcher;
use uuid::Uuid;

use super::address::{Network, client_address, limit_key};
use super::compression::{packed, takes_gzip};
use super::deprecation::Deprecation;
use super::flash::FlashSales;
use super::identity::InternalTokens;
use super::table::{Class, Own, Rule, Target, Verb, Who};
use super::upstream::Upstreams;
use crate::app::{AccessClaims, AccessTokens};
use crate::domain::Scope;
use crate::limits::{Bucket, Limit, LimitSettings, Limiter, Tier, Verdict};

/// What the check of a request needs.
pub(crate) struct Edge {
    pub(crate) tokens: AccessTokens,
    pub(crate) internal: InternalTokens,
    pub(crate) upstreams: Upstreams,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) flash_sales: FlashSales,
    pub(crate) settings: EdgeSettings,
}

pub(crate) struct EdgeSettings {
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) deprecations: Vec<Deprecation>,
    pub(crate) limits: LimitSettings,
    pub(crate) body_bytes_max: usize,
    pub(crate) import_bytes_max: u64,
    /// Whether OAuth's `password` is a grant here.
    pub(crate) gives_password_grant: bool,
}

impl EdgeSettings {
    fn deprecation(&self, rules: &[&'static Rule], method: &Method) -> Option<&Deprecation> {
        // Seldom any.
        self.deprecations.iter().find(|going| {
            rules
                .iter()
                .any(|rule| rule.verb.method() == *method && going.is_of(rule))
        })
    }
}

/// A request that may pass, by which rule, and who makes it.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(crate) rule: &'static Rule,
    claims: Option<Arc<AccessClaims>>,
}

impl Admitted {
    /// `None` when nobody is logged in.
    pub(crate) fn claims(&self) -> Option<&AccessClaims> {
        self.claims.as_deref()
    }
}

/// Every request passes here: limits, identity, role; and every answer gets its security headers.
pub(crate) async fn gate(
    rules: Rc<[&'static Rule]>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(edge) = request.app_data::<web::Data<Edge>>().cloned() else {
        return Ok(request.into_response(Problem::internal().error_response()));
    };
    let origin = allowed_origin(&edge.settings, request.headers());
    let is_secure = request.app_config().secure();
    let deprecation = edge.settings.deprecation(&rules, request.method());
    let takes_gzip = takes_gzip(request.headers());
    let checked = edge.check(&rules, &mut request).await;
    let response = match checked.outcome {
        Ok(Passage::Handler(admitted)) => {
            request.extensions_mut().insert(admitted);
            next.call(request).await?.map_into_boxed_body()
        }
        Ok(Passage::Preflight) => request.into_response(preflight(&rules)),
        Err(Refusal::Problem(problem)) => request.into_response(problem.error_response()),
        Err(Refusal::WrongMethod) => request.into_response(wrong_method(&rules)),
    };
    let mut response = packed(response, takes_gzip);
    let headers = response.headers_mut();
    limit_fields(headers, checked.verdict.as_ref());
    security_fields(headers);
    if is_secure {
        // Two years, as the lists of browsers want it.
        set(headers, "strict-transport-security", "max-age=63072000");
    }
    if let Some(deprecation) = deprecation {
        deprecation.tell(headers);
    }
    if let Some(origin) = origin {
        cors_fields(headers, origin);
    }
    Ok(response)
}

struct Checked {
    outcome: Result<Passage, Refusal>,
    verdict: Option<Verdict>,
}

enum Passage {
    Handler(Admitted),
    /// A browser asks whether a page of another origin may make the call.
    Preflight,
}

enum Refusal {
    Problem(Problem),
    WrongMethod,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Edge {
    async fn check(&self, rules: &[&'static Rule], request: &mut ServiceRequest) -> Checked {
        let rule = rules
            .iter()
            .copied()
            .find(|rule| rule.verb.method() == *request.method());
        let claims = match rule {
            Some(Rule {
                who: Who::Unchecked, ..
            })
            | None => Ok(None),
            // OAuth clients name themselves here as HTTP Basic does; nobody needs a token to get one.
            Some(Rule {
                target: Target::Own(Own::LogIn),
                ..
            }) if is_basic(request.headers()) => Ok(None),
            Some(_) => self.claims(request.headers()).await,
        };
        // A bad token costs its sender a token of the address' bucket too.
        let known = claims.as_ref().ok().and_then(Option::as_deref);
        let mut buckets = self.buckets(rule, known, request);
        if let (Some(rule), Some(claims)) = (rule, known) {
            let body_bytes_max = self.settings.body_bytes_max;
            match self.flash_sales.wanted(rule, request, body_bytes_max).await {
                Ok(None) => {}
                Ok(Some(sku)) => buckets.push(self.flash_sale_bucket(claims, sku)),
                Err(problem) => {
                    return Checked {
                        outcome: Err(problem.into()),
                        verdict: None,
                    };
                }
            }
        }
        let verdict = self.limiter.take(&buckets).await;
        let outcome = match verdict.wait {
            Some(wait) => {
                let class = rule.map_or("none", |rule| class_name(rule.class));
                metrics::counter!("rate_limited_total", "class" => class).increment(1);
                let problem = Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "RATE_LIMITED",
                    "too many requests: come back after the time in Retry-After",
                );
                Err(problem.retry_after(wait).into())
            }
            None => self.admit(rule, claims, request),
        };
        Checked {
            outcome,
            verdict: Some(verdict),
        }
    }

    fn admit(
        &self,
        rule: Option<&'static Rule>,
        claims: Result<Option<Arc<AccessClaims>>, Problem>,
        request: &ServiceRequest,
    ) -> Result<Passage, Refusal> {
        let Some(rule) = rule else {
            let is_preflight = request.method() == Method::OPTIONS
                && request
                    .headers()
                    .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
                && allowed_origin(&self.settings, request.headers()).is_some();
            return if is_preflight {
                Ok(Passage::Preflight)
            } else {
                Err(Refusal::WrongMethod)
            };
        };
        let claims = claims?;
        authorize(rule.who, claims.as_deref())?;
        within_scope(rule.verb, claims.as_deref())?;
        Ok(Passage::Handler(Admitted { rule, claims }))
    }

    /// A token that is sent must be good, also where none is needed: a client that believes to be logged in
    /// must learn that it is not.
    async fn claims(&self, headers: &HeaderMap) -> Result<Option<Arc<AccessClaims>>, Problem> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Ok(None);
        };
        let token = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| {
                Problem::unauthenticated("an Authorization of the form `Bearer <token>` is expected")
            })?;
        Ok(Some(self.tokens.check(token).await?))
    }

    /// Where a request comes from, as limits tell addresses apart.
    pub(crate) fn address(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> String {
        let forwarded_for = headers
            .get("x-forwarded-for")
            .and_then(|value| value.to_str().ok());
        limit_key(client_address(
            peer,
            forwarded_for,
            &self.settings.trusted_proxies,
        ))
    }

    /// Whose stream it is that such a request opens.
    pub(crate) fn watcher(&self, request: &HttpRequest, admitted: &Admitted) -> Watcher {
        match admitted.claims() {
            Some(claims) => Watcher::User(claims.sub.into()),
            None => Watcher::Address(self.address(request.peer_addr(), request.headers())),
        }
    }

    fn buckets(
        &self,
        rule: Option<&Rule>,
        claims: Option<&AccessClaims>,
        request: &ServiceRequest,
    ) -> Vec<Bucket> {
        let limits = &self.settings.limits;
        let address = self.address(request.peer_addr(), request.headers());
        let bucket = |name: &'static str, key: String, limit: Limit| Bucket {
            name,
            key,
            rate: limit.into(),
        };
        let mut buckets = Vec::with_capacity(5);
        buckets.push(bucket("global", Limiter::GLOBAL_KEY.to_owned(), limits.global));
        buckets.push(bucket(
            "address",
            format!("{{limits}}:address:{address}"),
            limits.address,
        ));
        if let Some(claims) = claims {
            buckets.push(bucket(
                "user",
                format!("{{limits}}:user:{}", claims.sub),
                limits.user,
            ));
            if let Some(key_id) = claims.client_id {
                buckets.push(bucket("key", format!("{{limits}}:key:{key_id}"), limits.key));
            }
        }
        if let Some(rule) = rule {
            self.add_route_buckets(rule, claims, &address, &mut buckets);
        }
        buckets
    }

    fn add_route_buckets(
        &self,
        rule: &Rule,
        claims: Option<&AccessClaims>,
        address: &str,
        buckets: &mut Vec<Bucket>,
    ) {
        let limits = &self.settings.limits;
        let caller = match claims {
            Some(claims) if rule.class != Class::Auth => claims.sub.to_string(),
            _ => address.to_owned(),
        };
        let method = rule.verb.method();
        let mut is_of_its_class = true;
        for (tier, limit) in limits.of_route(method.as_str(), rule.path) {
            let whom = match tier {
                Tier::Caller => {
                    is_of_its_class = false;
                    caller.clone()
                }
                Tier::All => String::new(),
                Tier::Address => address.to_owned(),
                Tier::User => match claims {
                    Some(claims) => claims.sub.to_string(),
                    None => continue,
                },
                Tier::Key => match claims.and_then(|claims| claims.client_id) {
                    Some(key_id) => key_id.to_string(),
                    None => continue,
                },
            };
            buckets.push(Bucket {
                name: tier.name(),
                key: format!("{{limits}}:{}:{method} {}:{whom}", tier.name(), rule.path),
                rate: limit.into(),
            });
        }
        if is_of_its_class {
            let name = class_name(rule.class);
            buckets.push(Bucket {
                name,
                key: format!("{{limits}}:{name}:{caller}"),
                rate: class_limit(limits, rule.class).into(),
            });
        }
    }

    fn flash_sale_bucket(&self, claims: &AccessClaims, sku: Uuid) -> Bucket {
        Bucket {
            name: "flash-sale",
            key: format!("{{limits}}:flash-sale:{}:{sku}", claims.sub),
            rate: self.settings.limits.flash_sale.into(),
        }
    }
}

fn authorize(who: Who, claims: Option<&AccessClaims>) -> Result<(), Problem> {
    match (who, claims) {
        (Who::Anyone | Who::Unchecked, _) | (Who::LoggedIn, Some(_)) => Ok(()),
        (Who::LoggedIn | Who::Roles(_), None) => Err(Problem::unauthenticated(
            "log in first: a bearer token is needed here",
        )),
        (Who::Roles(roles), Some(claims)) => {
            if roles.iter().any(|role| claims.has_role(*role)) {
                Ok(())
            } else {
                Err(Problem::forbidden("your account has no role that may do this"))
            }
        }
    }
}

/// A key that may only read changes nothing, whatever its roles could.
fn within_scope(verb: Verb, claims: Option<&AccessClaims>) -> Result<(), Problem> {
    let reads_only = claims.is_some_and(|claims| claims.scope == Some(Scope::Read));
    if reads_only && verb != Verb::Get {
        let problem = Problem::new(
            StatusCode::FORBIDDEN,
            "INSUFFICIENT_SCOPE",
            "the API key may only read",
        );
        return Err(problem.with("error", "insufficient_scope"));
    }
    Ok(())
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Auth => "auth",
        Class::Read => "read",
        Class::Write => "write",
        Class::Checkout => "checkout",
        Class::Import => "import",
        Class::Stream => "stream",
        Class::Webhook => "webhook",
    }
}

fn class_limit(limits: &LimitSettings, class: Class) -> Limit {
    match class {
        Class::Auth => limits.auth,
        Class::Read => limits.read,
        Class::Write => limits.write,
        Class::Checkout => limits.checkout,
        Class::Import => limits.import,
        Class::Stream => limits.stream,
        Class::Webhook => limits.webhook,
    }
}

fn is_basic(headers: &HeaderMap) -> bool {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().get(..6))
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
}

fn allowed_methods(rules: &[&'static Rule]) -> String {
    let methods: Vec<String> = rules.iter().map(|rule| rule.verb.method().to_string()).collect();
    methods.join(", ")
}

fn wrong_method(rules: &[&'static Rule]) -> HttpResponse {
    if rules.is_empty() {
        let problem = Problem::not_found("NOT_FOUND", "there is nothing at this path");
        return problem.error_response();
    }
    let allowed = allowed_methods(rules);
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        format!("this path takes {allowed}"),
    );
    let mut response = problem.error_response();
    set(response.headers_mut(), "allow", &allowed);
    response
}

fn preflight(rules: &[&'static Rule]) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, allowed_methods(rules)))
        .insert_header((
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, x-request-id",
        ))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"))
        .finish()
}

fn allowed_origin(settings: &EdgeSettings, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    settings
        .cors_origins
        .iter()
        .any(|allowed| allowed == text)
        .then(|| origin.clone())
}

fn cors_fields(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    set(
        headers,
        "access-control-expose-headers",
        "etag, location, retry-after, ratelimit, ratelimit-policy, idempotent-replayed, traceparent, x-request-id",
    );
}

fn limit_fields(headers: &mut HeaderMap, verdict: Option<&Verdict>) {
    if let Some((policy, state)) = verdict.and_then(Verdict::fields) {
        set(headers, "ratelimit-policy", &policy);
        set(headers, "ratelimit", &state);
    }
}

/// What an API that serves no pages of others wants browsers to know; a page of our own says more itself.
fn security_fields(headers: &mut HeaderMap) {
    const ALWAYS: [(HeaderName, HeaderValue); 4] = [
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            header::CROSS_ORIGIN_RESOURCE_POLICY,
            HeaderValue::from_static("same-origin"),
        ),
    ];
    const UNLESS_SAID: [(HeaderName, HeaderValue); 2] = [
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    for (name, value) in UNLESS_SAID {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
