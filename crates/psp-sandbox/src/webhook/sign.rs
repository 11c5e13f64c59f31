//! Stripe's webhook signature: `t=<seconds>,v1=<hex hmac-sha256 of "t.payload">`.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

pub(crate) fn signature(secret: &str, at: i64, payload: &str) -> String {
    format!("t={at},v1={}", digest(secret, at, payload))
}

fn digest(secret: &str, at: i64, payload: &str) -> String {
    // An HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{at}.").as_bytes());
    mac.update(payload.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test`.
    #[test]
    fn the_signature_is_stripes() {
        assert_eq!(
            signature("whsec_test", 1_700_000_000, "{\"id\":\"evt_1\"}"),
            EXPECTED
        );
    }

    const EXPECTED: &str = "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
}
