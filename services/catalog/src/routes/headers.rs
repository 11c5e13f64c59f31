//! ETags, and what a CDN may do with an answer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use actix_web::http::header::{AGE, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, WARNING};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;

use crate::app::edit::Expected;

/// A browser asks again after 5 s; a CDN serves for a minute, longer while it asks anew or while we fail.
pub(super) const PUBLIC: (&str, &str) = (
    "cache-control",
    "public, max-age=5, s-maxage=60, stale-while-revalidate=30, stale-if-error=300",
);
/// Seen by the merchant alone.
pub(super) const PRIVATE: (&str, &str) = ("cache-control", "private, no-store");

pub(super) fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Whether the client has this version already.
pub(super) fn has_version(request: &HttpRequest, version: i64) -> bool {
    has_tag(request, &etag(version))
}

fn has_tag(request: &HttpRequest, current: &str) -> bool {
    tags(request, &IF_NONE_MATCH).is_some_and(|tags| {
        tags.iter()
            .any(|tag| *tag == "*" || tag.trim_start_matches("W/") == current)
    })
}

/// Says how old an answer is that no store has confirmed since.
pub(super) fn mark_stale(response: &mut HttpResponseBuilder, stale_since: Option<Instant>) {
    if let Some(since) = stale_since {
        response
            .insert_header((WARNING, "110 - \"Response is Stale\""))
            .insert_header((AGE, since.elapsed().as_secs().to_string()));
    }
}

/// A list that everybody may see. It has no version, so that its tag is made of its bytes.
pub(super) fn public_list(request: &HttpRequest, body: Bytes, stale_since: Option<Instant>) -> HttpResponse {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let known = has_tag(request, &tag);
    let mut response = if known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((ETAG, format!("W/{tag}")))
        .insert_header(PUBLIC);
    mark_stale(&mut response, stale_since);
    if known {
        return response.finish();
    }
    response
        .insert_header((CONTENT_TYPE, "application/json"))
        .body(body)
}

/// Which versions the client wants to change. A tag that is not ours matches no version.
pub(super) fn expected(request: &HttpRequest) -> Expected {
    match tags(request, &IF_MATCH) {
        None => Expected::Any,
        Some(tags) if tags.contains(&"*") => Expected::Any,
        Some(tags) => Expected::OneOf(
            tags.iter()
                .filter_map(|tag| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok())
                .collect(),
        ),
    }
}

fn tags<'r>(request: &'r HttpRequest, name: &HeaderName) -> Option<Vec<&'r str>> {
    let mut lines = request.headers().get_all(name).peekable();
    lines.peek()?;
    Some(
        lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn tags_are_compared_as_the_rfc_says() {
        let with = |name: &'static str, value: &'static str| {
            TestRequest::get().insert_header((name, value)).to_http_request()
        };
        assert!(has_version(&with("if-none-match", "\"1\", W/\"7\""), 7));
        assert!(has_version(&with("if-none-match", "*"), 7));
        assert!(!has_version(&with("if-none-match", "\"6\", 7"), 7));
        assert_eq!(expected(&TestRequest::get().to_http_request()), Expected::Any);
        assert_eq!(expected(&with("if-match", "*")), Expected::Any);
        assert_eq!(
            expected(&with("if-match", "\"7\", \"x\"")),
            Expected::OneOf(vec![7])
        );
        // Weak tags never match strongly.
        assert_eq!(expected(&with("if-match", "W/\"7\"")), Expected::OneOf(vec![]));
    }
}
