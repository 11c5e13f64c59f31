use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ferrocart_types::{Clock as _, SystemClock};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::report::Report;
use crate::world::{With, World};

struct Forge {
    header: Value,
    claims: Value,
    key: Ed25519KeyPair,
    public: Vec<u8>,
}

/// A claim or a member of the header, and what is in its place.
type Change<'a> = (&'a str, Option<Value>);

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn changed(of: &Value, changes: &[Change<'_>]) -> Value {
    let mut value = of.clone();
    for (name, new) in changes {
        match (new, value.as_object_mut()) {
            (Some(new), Some(members)) => {
                members.insert((*name).to_owned(), new.clone());
            }
            (None, Some(members)) => {
                members.remove(*name);
            }
            (_, None) => {}
        }
    }
    value
}

impl Forge {
    fn new(token: &str, pem: &str) -> Result<Self> {
        let mut parts = token.split('.');
        let mut next = || -> Result<Value> {
            let bytes = URL_SAFE_NO_PAD.decode(parts.next().context("a token of three parts")?)?;
            Ok(serde_json::from_slice(&bytes)?)
        };
        let (header, claims) = (next()?, next()?);
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&STANDARD.decode(body)?)
            .map_err(|error| anyhow!("the gateway's key: {error}"))?;
        let public = key.public_key().as_ref().to_vec();
        Ok(Self {
            header,
            claims,
            key,
            public,
        })
    }

    fn text(&self, header: &[Change<'_>], claims: &[Change<'_>]) -> String {
        let (header, claims) = (changed(&self.header, header), changed(&self.claims, claims));
        format!("{}.{}", part(&header), part(&claims))
    }

    /// Signed as the gateway signs, which nobody outside can: what is left to be wrong are the words.
    fn signed(&self, header: &[Change<'_>], claims: &[Change<'_>]) -> String {
        self.signed_by(&self.key, header, claims)
    }

    fn signed_by(&self, key: &Ed25519KeyPair, header: &[Change<'_>], claims: &[Change<'_>]) -> String {
        let text = self.text(header, claims);
        let signature = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    fn hs256(&self, secret: &[u8]) -> Result<String> {
        let text = self.text(&[("alg", Some(json!("HS256")))], &[]);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret)?;
        mac.update(text.as_bytes());
        Ok(format!(
            "{text}.{}",
            URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
        ))
    }
}

pub(crate) async fn run(world: &World, report: &mut Report) -> Result<()> {
    let forge = Forge::new(&world.victim.token, &world.jwt_key_pem)?;
    // The forge is good: what follows is refused for its words alone.
    let good = world.get("/v1/cart", &forge.signed(&[], &[])).await?;
    anyhow::ensure!(good.status == 200, "a well-made token: {}", good.said());
    for (attack, token) in forged(&forge, world)? {
        let with = With {
            token: Some(&token),
            ..With::default()
        };
        for path in ["/v1/cart", "/v1/products", "/v1/admin/sagas"] {
            let answer = world.send(("GET", path), with).await?;
            let refused = answer.status == 401 && answer.code == "UNAUTHENTICATED";
            report.check(&format!("token, {attack}, at {path}"), refused, answer.said());
        }
    }
    Ok(())
}

fn forged(forge: &Forge, world: &World) -> Result<Vec<(&'static str, String)>> {
    let mut all = unsigned(forge, world)?;
    all.extend(by_others(forge)?);
    all.extend(misused(forge, world));
    Ok(all)
}

/// Without a signature, or with one that belongs to something else.
fn unsigned(forge: &Forge, world: &World) -> Result<Vec<(&'static str, String)>> {
    let none = |alg: &str| format!("{}.", forge.text(&[("alg", Some(json!(alg)))], &[]));
    let (text, signature) = world.victim.token.rsplit_once('.').context("a token")?;
    let raised = forge.text(&[], &[("roles", Some(json!(["admin"])))]);
    Ok(vec![
        ("none", none("none")),
        ("None", none("None")),
        ("NONE", none("NONE")),
        ("no algorithm", format!("{}.", forge.text(&[("alg", None)], &[]))),
        ("roles raised", format!("{raised}.{signature}")),
        ("without its signature", text.to_owned()),
        ("an empty signature", format!("{text}.")),
        (
            "a cut signature",
            format!("{text}.{}", signature.get(..20).unwrap_or_default()),
        ),
        ("four parts", format!("{}.x", world.victim.token)),
    ])
}

/// Signed with what anybody has: the public key as a secret, or a key of one's own.
fn by_others(forge: &Forge) -> Result<Vec<(&'static str, String)>> {
    let stranger = Ed25519KeyPair::generate().map_err(|error| anyhow!("a key: {error}"))?;
    let x = URL_SAFE_NO_PAD.encode(&forge.public);
    // SubjectPublicKeyInfo of an Ed25519 key.
    let mut spki = hex::decode("302a300506032b6570032100")?;
    spki.extend(&forge.public);
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(spki)
    );
    let own_jwk = json!({ "kty": "OKP", "crv": "Ed25519",
        "x": URL_SAFE_NO_PAD.encode(stranger.public_key().as_ref()) });
    let elsewhere = json!("http://127.0.0.1:1/jwks");
    let by_stranger = |header: &[Change<'_>]| forge.signed_by(&stranger, header, &[]);
    Ok(vec![
        ("HS256 with the public key", forge.hs256(&forge.public)?),
        ("HS256 with the public key's text", forge.hs256(x.as_bytes())?),
        ("HS256 with the public key's PEM", forge.hs256(pem.as_bytes())?),
        ("HS256 with nothing", forge.hs256(b"")?),
        ("another key", by_stranger(&[])),
        (
            "another key that it brings along",
            by_stranger(&[("jwk", Some(own_jwk))]),
        ),
        ("keys elsewhere", by_stranger(&[("jku", Some(elsewhere))])),
    ])
}

/// With the gateway's own signature under words that are no access token's.
fn misused(forge: &Forge, world: &World) -> Vec<(&'static str, String)> {
    let now = SystemClock.now().timestamp();
    let header = |name, value: Option<Value>| forge.signed(&[(name, value)], &[]);
    let claim = |name, value: Option<Value>| forge.signed(&[], &[(name, value)]);
    vec![
        (
            "a kid that is a path",
            header("kid", Some(json!("../../../dev/null"))),
        ),
        ("a kid that is SQL", header("kid", Some(json!("' OR '1'='1")))),
        ("no kid", header("kid", None)),
        ("another type", header("typ", Some(json!("JWT")))),
        ("a critical extension", header("crit", Some(json!(["x"])))),
        ("expired", claim("exp", Some(json!(now - 1)))),
        (
            "exp as a string",
            claim("exp", Some(json!((now + 600).to_string()))),
        ),
        ("exp as a float", claim("exp", Some(json!(1e300)))),
        ("no exp", claim("exp", None)),
        ("another audience", claim("aud", Some(json!("cart")))),
        ("no audience", claim("aud", None)),
        (
            "another issuer",
            claim("iss", Some(json!("https://evil.example"))),
        ),
        ("not valid yet", claim("nbf", Some(json!(now + 3_600)))),
        ("a service's role", claim("roles", Some(json!(["service"])))),
        ("a role that is none", claim("roles", Some(json!(["root"])))),
        ("no subject", claim("sub", None)),
        ("a refresh token", world.victim.refresh_token.clone()),
        ("very long", "a".repeat(6_000)),
    ]
}
