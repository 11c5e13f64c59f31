//! Answers that are packed on their way to clients that take it.

use std::io::Write as _;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    VARY,
};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A smaller answer fits into one packet anyway.
const BYTES_MIN: u64 = 1_024;
/// A larger one would keep others of the same worker waiting; it goes out as it is.
const BYTES_MAX: u64 = 1024 * 1024;
/// Of several answers to the same question, packed or not, a cache keeps each.
const VARIES: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Whether the client takes an answer that is packed by gzip (RFC 9110, section 12.5.3).
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut anything = false;
    let values = headers.get_all(ACCEPT_ENCODING);
    for part in values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (coding, weight) = part.split_once(';').unwrap_or((part, ""));
        let wanted = !is_zero(weight);
        match coding.trim() {
            coding if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => {
                return wanted;
            }
            "*" => anything = wanted,
            _ => {}
        }
    }
    anything
}

/// `q=0`, `q=0.000`
fn is_zero(weight: &str) -> bool {
    let value = weight.trim().strip_prefix(['q', 'Q']);
    value
        .and_then(|value| value.trim_start().strip_prefix('='))
        .map(str::trim)
        .is_some_and(|value| value.starts_with('0') && value.chars().all(|digit| matches!(digit, '0' | '.')))
}

/// Packs an answer that is whole, text, and worth it. What an endpoint says must not be stored is left alone: it may hold
/// a secret, of which the packed length would tell something to whoever can choose a part of the same answer.
pub(super) fn packed(mut response: ServiceResponse<BoxBody>, takes_gzip: bool) -> ServiceResponse<BoxBody> {
    if !is_packable(response.headers(), response.response().body().size()) {
        return response;
    }
    response.headers_mut().append(VARY, VARIES);
    if !takes_gzip {
        return response;
    }
    let (request, response) = response.into_parts();
    let (mut head, body) = response.into_parts();
    let body = match body.try_into_bytes() {
        Ok(plain) => match gzip(&plain) {
            Some(packed) => {
                mark_packed(head.headers_mut());
                BoxBody::new(packed)
            }
            None => BoxBody::new(plain),
        },
        Err(stream) => stream,
    };
    ServiceResponse::new(request, head.set_body(body))
}

fn is_packable(headers: &HeaderMap, size: BodySize) -> bool {
    let BodySize::Sized(bytes) = size else {
        return false;
    };
    let has = |name: HeaderName, words: &[&str]| {
        headers
            .get_all(name)
            .filter_map(|value| value.to_str().ok())
            .any(|value| words.iter().any(|word| value.contains(word)))
    };
    (BYTES_MIN..=BYTES_MAX).contains(&bytes)
        && !headers.contains_key(CONTENT_ENCODING)
        && !has(CACHE_CONTROL, &["no-store", "no-transform"])
        && has(CONTENT_TYPE, &["json", "text/", "javascript"])
}

/// Nothing if that does not make it smaller.
fn gzip(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 3), Compression::fast());
    encoder.write_all(plain).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < plain.len()).then(|| packed.into())
}

fn mark_packed(headers: &mut HeaderMap) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    // The same version, but not the same bytes.
    let weak = headers
        .get(ETAG)
        .and_then(|tag| tag.to_str().ok())
        .filter(|tag| tag.starts_with('"'))
        .and_then(|tag| HeaderValue::try_from(format!("W/{tag}")).ok());
    if let Some(weak) = weak {
        headers.insert(ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use actix_web::HttpResponse;
    use actix_web::test::TestRequest;
    use flate2::read::GzDecoder;

    use super::*;

    fn accepting(value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
        takes_gzip(&headers)
    }

    #[test]
    fn gzip_is_taken_by_whoever_says_so() {
        for value in ["gzip", "br, gzip", "GZIP;q=0.5", "*", "br;q=1, *;q=0.1", "x-gzip"] {
            assert!(accepting(value), "{value}");
        }
        for value in [
            "",
            "br",
            "identity",
            "gzip;q=0",
            "gzip; q=0.000, *",
            "*;q=0",
            "*, gzip;q=0",
        ] {
            assert!(!accepting(value), "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    fn answer(headers: &[(&str, &str)], body: &str, takes_gzip: bool) -> ServiceResponse<BoxBody> {
        let mut response = HttpResponse::Ok();
        for (name, value) in headers {
            response.insert_header((*name, *value));
        }
        let request = TestRequest::default().to_http_request();
        packed(
            ServiceResponse::new(request, response.body(body.to_owned())),
            takes_gzip,
        )
    }

    #[test]
    fn a_packed_answer_is_the_same_and_says_so() {
        let text = "{\"a\":\"shoe\"}".repeat(200);
        let response = answer(
            &[("content-type", "application/json"), ("etag", "\"7\"")],
            &text,
            true,
        );
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            [header("content-encoding"), header("vary"), header("etag")],
            ["gzip", "accept-encoding", "W/\"7\""]
        );
        let bytes = response.into_body().try_into_bytes().unwrap();
        assert!(bytes.len() * 5 < text.len());
        let mut plain = String::new();
        GzDecoder::new(&*bytes).read_to_string(&mut plain).unwrap();
        assert_eq!(plain, text);
    }

    #[test]
    fn what_must_not_or_need_not_be_packed_is_left_alone() {
        let json = ("content-type", "application/json");
        let text = "x".repeat(2_000);
        for (headers, body) in [
            (vec![json, ("cache-control", "no-store")], text.as_str()),
            (vec![json, ("cache-control", "public, no-transform")], &text),
            (vec![json, ("content-encoding", "br")], &text),
            (vec![("content-type", "image/png")], &text),
            (vec![json], "{}"),
        ] {
            let response = answer(&headers, body, true);
            let encoding = response.headers().get("content-encoding").cloned();
            assert_ne!(encoding, Some(HeaderValue::from_static("gzip")), "{headers:?}");
            assert_eq!(response.into_body().try_into_bytes().unwrap(), body);
        }
        let plain = answer(&[json], &text, false);
        assert_eq!(plain.headers().get("vary").unwrap(), "accept-encoding");
        assert!(!plain.headers().contains_key("content-encoding"));
    }
}
