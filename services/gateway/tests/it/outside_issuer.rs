//! Access tokens of an OpenID provider that others wrote, run as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ferrocart_gateway::{RoleMapping, Settings};
use ferrocart_test_kit::eventually_within;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::world::World;

struct Provider {
    process: Child,
    issuer: String,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Provider {
    /// `None` where there is none: then the test says that it is skipped.
    fn start() -> Option<Self> {
        Self::run("1", "0")
    }

    /// The same issuer with keys of another generation; port 0 is a free one.
    fn run(generation: &str, port: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = root.join(".ferrocart/oidc-provider");
        if !folder.join("node_modules/oidc-provider").exists() {
            eprintln!("SKIPPED: no OpenID provider is here; make setup fetches it");
            return None;
        }
        // Beside the packages that it uses.
        let script = copy(&root.join("deploy/local/oidc-provider/provider.mjs"), &folder);
        let mut process = Command::new("node")
            .arg(&script)
            .args([generation, port])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node");
        let mut issuer = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut issuer)
            .unwrap();
        let issuer = issuer.trim().to_owned();
        assert!(
            issuer.starts_with("http://127.0.0.1:"),
            "the provider did not start"
        );
        Some(Self { process, issuer })
    }

    /// With other keys, as when they are replaced.
    fn renew(self) -> Self {
        let port = self.issuer.rsplit(':').next().unwrap().to_owned();
        drop(self);
        Self::run("2", &port).unwrap()
    }

    async fn token(&self, client: &str, resource: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", "shop"),
            ("resource", resource),
            ("client_id", client),
            ("client_secret", "a secret of the test"),
        ];
        let answer = reqwest::Client::new()
            .post(format!("{}/token", self.issuer))
            .basic_auth(client, Some("a%20secret%20of%20the%20test"))
            .form(&form[..3])
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }
}

fn copy(script: &Path, folder: &Path) -> PathBuf {
    let target = folder.join(format!("provider-{}.mjs", crate::world::fresh().simple()));
    std::fs::copy(script, &target).unwrap();
    target
}

fn known(issuer: &str) -> impl FnOnce(&mut Settings) {
    let issuer = issuer.to_owned();
    move |settings| {
        let oidc = &mut settings.identity.oidc;
        oidc.oidc_issuer = issuer;
        "shop.example".clone_into(&mut oidc.oidc_audience);
        let mapping = RoleMapping::try_from("shop-managers=merchant".to_owned());
        oidc.oidc_roles = vec![mapping.unwrap()];
    }
}

async fn status(world: &World, token: &str) -> u16 {
    let answer = world.api.with_token(token).get("/v1/orders").await;
    answer.status.as_u16()
}

#[tokio::test]
async fn its_users_shop_here_whatever_signs_their_tokens_with_the_roles_that_theirs_are() {
    let Some(provider) = Provider::start() else { return };
    let world = World::with(known(&provider.issuer)).await;
    let mut ids = Vec::new();
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let token = provider
            .token("ada", &format!("https://shop.example/{algorithm}"))
            .await;
        let ada = world.api.with_token(token);
        let seen = ada.get("/v1/orders").await.expect(202).json["caller"].clone();
        assert_eq!(seen["roles"], json!(["customer", "merchant"]), "{algorithm}");
        assert_eq!(seen["email"], "ada@idp.example");
        ids.push(seen["user_id"].clone());
        ada.post("/v1/products", json!({})).await.expect(202);
    }
    assert!(ids.iter().all(|id| *id == ids[0] && id.is_string()), "{ids:?}");
    let token = provider.token("bob", "https://shop.example/RS256").await;
    let bob = world.api.with_token(token);
    let seen = bob.get("/v1/orders").await.expect(202).json["caller"].clone();
    assert_eq!(seen["roles"], json!(["customer"]));
    assert!(seen["email"].is_null(), "an address that nobody has looked at");
    assert_ne!(seen["user_id"], ids[0]);
    bob.post("/v1/products", json!({}))
        .await
        .expect_problem(403, "FORBIDDEN");
    // Our own users are still known.
    world.customer().await.get("/v1/orders").await.expect(202);
}

#[tokio::test]
async fn tokens_that_it_did_not_make_for_us_are_refused() {
    let Some(provider) = Provider::start() else { return };
    let world = World::with(known(&provider.issuer)).await;
    let good = provider.token("ada", "https://shop.example/RS256").await;
    assert_eq!(status(&world, &good).await, 202);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let header = head.split('.').next().unwrap();
    let claims = head.split('.').nth(1).unwrap();
    let mut raised: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    raised["sub"] = json!("root");
    let raised_part = URL_SAFE_NO_PAD.encode(raised.to_string());
    let keys: Value = reqwest::get(format!("{}/jwks", provider.issuer))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let mut by_public_key = Header::new(Algorithm::HS256);
    by_public_key.kid = Some("RS256-1".to_owned());
    let secret = URL_SAFE_NO_PAD
        .decode(keys["keys"][0]["n"].as_str().unwrap())
        .unwrap();
    let mut own = Header::new(Algorithm::EdDSA);
    own.kid = jsonwebtoken::decode_header(&world.user(&["customer"]).await.1)
        .unwrap()
        .kid;
    own.typ = Some("at+jwt".to_owned());
    let refused = [
        (
            "for another audience",
            provider.token("ada", "https://elsewhere.example/RS256").await,
        ),
        ("another subject", format!("{header}.{raised_part}.{signature}")),
        ("no signature", format!("{head}.")),
        (
            "HS256 with its public key",
            encode(&by_public_key, &raised, &EncodingKey::from_secret(&secret)).unwrap(),
        ),
        (
            "its name with our key",
            encode(
                &own,
                &raised,
                &EncodingKey::from_ed_pem(&world.signing_key).unwrap(),
            )
            .unwrap(),
        ),
    ];
    for (what, token) in refused {
        assert_eq!(status(&world, &token).await, 401, "{what} was taken");
    }
    let stranger = World::new().await;
    assert_eq!(
        status(&stranger, &good).await,
        401,
        "an issuer that is not configured"
    );
    world.clock.advance(TimeDelta::minutes(10));
    assert_eq!(status(&world, &good).await, 401, "an old token, seen before");
}

#[tokio::test]
async fn its_keys_are_taken_up_when_they_change_and_kept_while_it_is_away() {
    let Some(provider) = Provider::start() else { return };
    let world = World::with(known(&provider.issuer)).await;
    let old = provider.token("ada", "https://shop.example/ES256").await;
    assert_eq!(status(&world, &old).await, 202);
    let provider = provider.renew();
    let new = provider.token("ada", "https://shop.example/ES256").await;
    // It is asked every ten seconds at most.
    eventually_within(std::time::Duration::from_secs(30), "the new keys", || async {
        (status(&world, &new).await == 202).then_some(())
    })
    .await;
    assert_eq!(status(&world, &old).await, 401, "its key was taken away");
    let last = provider.token("bob", "https://shop.example/ES256").await;
    drop(provider);
    assert_eq!(status(&world, &last).await, 202);
}
