use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ferrocart_test_kit::TestKeys;
use jsonwebtoken::{Algorithm, EncodingKey, Header, decode_header, encode};
use serde_json::{Value, json};

use crate::world::{World, access};

fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(header), part(claims))
}

#[tokio::test]
async fn the_published_key_verifies_a_token_and_is_named_by_its_thumbprint() {
    let world = World::new().await;
    let (user_id, token) = world.user(&["customer"]).await;
    let jwks = world.api.get("/.well-known/jwks.json").await.expect(200).json;
    let key = &jwks["keys"][0];
    assert_eq!(decode_header(&token).unwrap().kid.as_deref(), key["kid"].as_str());
    assert!(key["d"].is_null(), "the private key is published");
    let public = jsonwebtoken::DecodingKey::from_ed_components(key["x"].as_str().unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["ferrocart"]);
    let claims = jsonwebtoken::decode::<Value>(&token, &public, &validation)
        .unwrap()
        .claims;
    assert_eq!(claims["sub"], user_id.as_str());
    assert_eq!(claims["roles"], json!(["customer"]));
    assert_eq!(claims["iss"], "https://ferrocart.dev");
    assert!(claims["jti"].is_string() && claims["email"].is_string());
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 900);
}

#[tokio::test]
async fn forged_and_foreign_tokens_are_refused_even_where_none_is_needed() {
    let world = World::new().await;
    let (_, token) = world.user(&["customer"]).await;
    let header = decode_header(&token).unwrap();
    let claims = claims_of(&token);
    let own = EncodingKey::from_ed_pem(&world.signing_key).unwrap();
    let jwks = world.api.get("/.well-known/jwks.json").await.expect(200).json;
    let x = jwks["keys"][0]["x"].as_str().unwrap();
    let with = |member: &str, value: Value| {
        let mut claims = claims.clone();
        claims[member] = value;
        encode(&header, &claims, &own).unwrap()
    };
    let hs256 = |secret: &[u8]| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid.clone_from(&decode_header(&token).unwrap().kid);
        header.typ = Some("at+jwt".to_owned());
        encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let stranger = TestKeys::generate();
    let strange_pem = std::fs::read(stranger.folder().join("gateway.pem")).unwrap();
    let strange = EncodingKey::from_ed_pem(&strange_pem).unwrap();
    let mut no_kid = header.clone();
    no_kid.kid = None;
    let mut no_type = header.clone();
    no_type.typ = Some("JWT".to_owned());
    let kid = header.kid.clone().unwrap();
    let (signed, _) = token.rsplit_once('.').unwrap();
    let refused = [
        (
            "alg none",
            unsigned(&json!({"alg": "none", "typ": "at+jwt", "kid": kid}), &claims),
        ),
        ("no signature", format!("{signed}.")),
        (
            "HS256 with the public key",
            hs256(&URL_SAFE_NO_PAD.decode(x).unwrap()),
        ),
        ("HS256 with the public key's text", hs256(x.as_bytes())),
        ("another key", encode(&header, &claims, &strange).unwrap()),
        ("no kid", encode(&no_kid, &claims, &own).unwrap()),
        ("another type", encode(&no_type, &claims, &own).unwrap()),
        ("another audience", with("aud", json!("elsewhere"))),
        ("another issuer", with("iss", json!("https://elsewhere.example"))),
        ("expired", with("exp", json!(1_000))),
        ("exp as text", with("exp", json!("4000000000"))),
        ("no exp", with("exp", Value::Null)),
        ("role service", with("roles", json!(["service"]))),
        ("role anonymous", with("roles", json!(["anonymous"]))),
        ("an unknown role", with("roles", json!(["root"]))),
        ("an internal token", world.env.keys.anonymous_token("gateway")),
        ("nothing", String::new()),
        ("rubbish", "a.b.c".to_owned()),
        ("too long", "a".repeat(9_000)),
    ];
    // The forger's tools work: what was changed by nothing passes.
    let same = encode(&header, &claims, &own).unwrap();
    world.api.with_token(same).get("/v1/orders").await.expect(202);
    let before = world.upstream.hits();
    for (what, token) in refused {
        for path in ["/v1/orders", "/v1/products"] {
            let answer = world.api.with_token(&token).get(path).await;
            assert_eq!(
                answer.status.as_u16(),
                401,
                "{what} was taken at {path}: {}",
                answer.text
            );
            answer.expect_problem(401, "UNAUTHENTICATED");
        }
    }
    assert_eq!(world.upstream.hits(), before, "a refused request was passed on");
}

#[tokio::test]
async fn well_signed_tokens_that_are_not_valid_yet_or_must_be_understood_are_refused() {
    let world = World::new().await;
    let (_, token) = world.user(&["customer"]).await;
    let header = decode_header(&token).unwrap();
    let claims = claims_of(&token);
    let own = EncodingKey::from_ed_pem(&world.signing_key).unwrap();
    let from = |nbf: Value| {
        let mut claims = claims.clone();
        claims["nbf"] = nbf;
        encode(&header, &claims, &own).unwrap()
    };
    let issued = claims["iat"].as_i64().unwrap();
    let mut critical = header.clone();
    critical.crit = Some(vec!["b64".to_owned()]);
    let refused = [
        ("not valid yet", from(json!(issued + 86_400))),
        ("a text for a time", from(json!("0"))),
        ("a critical extension", encode(&critical, &claims, &own).unwrap()),
    ];
    for (what, token) in refused {
        let answer = world.api.with_token(token).get("/v1/orders").await;
        assert_eq!(answer.status.as_u16(), 401, "{what} was taken: {}", answer.text);
    }
    let valid = from(json!(issued));
    world.api.with_token(valid).get("/v1/orders").await.expect(202);
}

#[tokio::test]
async fn a_token_ends_when_its_time_is_over_also_one_that_was_seen_before() {
    let world = World::new().await;
    let (user_id, token) = world.user(&["customer"]).await;
    let ada = world.api.with_token(token);
    let path = format!("/v1/users/{user_id}");
    ada.get(&path).await.expect(200);
    world.clock.advance(TimeDelta::seconds(899));
    ada.get(&path).await.expect(200);
    world.clock.advance(TimeDelta::seconds(1));
    ada.get(&path).await.expect_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn other_schemes_than_bearer_are_refused() {
    let world = World::new().await;
    for value in ["Basic YTpi", "Bearer", "token"] {
        let answer = world
            .api
            .send(
                reqwest::Method::GET,
                "/v1/products",
                None::<&Value>,
                &[("authorization", value)],
            )
            .await;
        let answer = answer.expect_problem(401, "UNAUTHENTICATED");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let guest = access(&world.guest().await);
    let value = format!("bearer {guest}");
    let answer = world
        .api
        .send(
            reqwest::Method::GET,
            "/v1/cart",
            None::<&Value>,
            &[("authorization", &value)],
        )
        .await;
    answer.expect(202);
}
