//! ETags, and what a CDN may do with an answer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use actix_web::http::header::{AGE, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, WARNING};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use ferrocart_types::Timestamp;

use crate::app::edit::Expected;

/// A browser asks again after 5 s; a CDN serves for a minute, longer while it asks anew or while we fail.
const BROWSER_SECONDS: u64 = 5;
const CDN_SECONDS: u64 = 60;
const CDN_LATE_SECONDS: u64 = 30;
pub(super) const PUBLIC: (&str, &str) = (
    "cache-control",
    "public, max-age=5, s-maxage=60, stale-while-revalidate=30, stale-if-error=300",
);

/// Nobody keeps a price beyond the moment at which it changes.
pub(super) fn public(price_changes_at: Option<Timestamp>, now: Timestamp) -> (&'static str, String) {
    let (name, value) = PUBLIC;
    let left = price_changes_at.map(|at| (at - now).to_std().unwrap_or(Duration::ZERO).as_secs());
    match left {
        Some(left) if left < CDN_SECONDS + CDN_LATE_SECONDS => {
            let (browser, cdn) = (left.min(BROWSER_SECONDS), left.min(CDN_SECONDS));
            (name, format!("public, max-age={browser}, s-maxage={cdn}"))
        }
        _ => (name, value.to_owned()),
    }
}
/// Seen by the merchant alone.
pub(super) const PRIVATE: (&str, &str) = ("cache-control", "private, no-store");

/// A product is what its version says, until a price changes by itself.
pub(super) fn etag(version: i64, price_changes_at: Option<Timestamp>) -> String {
    match price_changes_at {
        None => format!("\"{version}\""),
        Some(at) => format!("\"{version}-{}\"", at.timestamp_millis()),
    }
}

/// Whether the client has this already.
pub(super) fn has_tag(request: &HttpRequest, current: &str) -> bool {
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
pub(super) fn public_list(
    request: &HttpRequest,
    body: Bytes,
    stale_since: Option<Instant>,
    (price_changes_at, now): (Option<Timestamp>, Timestamp),
) -> HttpResponse {
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
        .insert_header(public(price_changes_at, now));
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
                .filter_map(|tag| version_in(tag.strip_prefix('"')?.strip_suffix('"')?))
                .collect(),
        ),
    }
}

/// Of a tag that [`etag`] made: a price that changed by itself is no conflict.
fn version_in(tag: &str) -> Option<i64> {
    let version = tag.split_once('-').map_or(tag, |(version, _)| version);
    version.parse().ok()
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
    fn nobody_keeps_a_price_beyond_its_end() {
        let at = |second| Timestamp::from_timestamp(second, 0).unwrap();
        assert_eq!(public(None, at(0)).1, PUBLIC.1);
        assert_eq!(public(Some(at(90)), at(0)).1, PUBLIC.1);
        assert_eq!(public(Some(at(89)), at(0)).1, "public, max-age=5, s-maxage=60");
        assert_eq!(public(Some(at(3)), at(0)).1, "public, max-age=3, s-maxage=3");
        assert_eq!(public(Some(at(3)), at(4)).1, "public, max-age=0, s-maxage=0");
    }

    #[test]
    fn tags_are_compared_as_the_rfc_says() {
        let with = |name: &'static str, value: &'static str| {
            TestRequest::get().insert_header((name, value)).to_http_request()
        };
        assert!(has_tag(&with("if-none-match", "\"1\", W/\"7\""), &etag(7, None)));
        assert!(has_tag(&with("if-none-match", "*"), &etag(7, None)));
        assert!(!has_tag(&with("if-none-match", "\"6\", 7"), &etag(7, None)));
        assert!(!has_tag(
            &with("if-none-match", "\"7\""),
            &etag(7, Timestamp::from_timestamp(1, 0))
        ));
        assert_eq!(
            expected(&with("if-match", "\"7-1000\"")),
            Expected::OneOf(vec![7])
        );
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
