use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ferrocart_http_kit::{AuthSettings, Role, TokenIssuer, UserIdentity};
use ferrocart_types::{Email, SystemClock, UserId};
use tempfile::TempDir;
use uuid::Uuid;

pub const SERVICES: [&str; 8] = [
    "gateway",
    "catalog",
    "search",
    "cart",
    "inventory",
    "order",
    "payment",
    "notification",
];

/// Fresh keys of all services in a folder that goes with the test.
#[derive(Debug)]
pub struct TestKeys {
    folder: TempDir,
}

impl TestKeys {
    pub fn generate() -> Self {
        crate::env::start_telemetry();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut jwks = Vec::new();
        for service in SERVICES {
            let pair = Ed25519KeyPair::generate().expect("a key");
            let der = pair.to_pkcs8v1().expect("PKCS#8");
            let body = STANDARD.encode(der.as_ref());
            let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
            std::fs::write(folder.path().join(format!("{service}.pem")), pem).expect("writing a key");
            let public: &[u8] = pair.public_key().as_ref();
            jwks.push(serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                "kid": format!("{service}:1"), "x": URL_SAFE_NO_PAD.encode(public),
            }));
        }
        let set = serde_json::json!({ "keys": jwks }).to_string();
        std::fs::write(folder.path().join("internal-jwks.json"), set).expect("writing the JWK set");
        Self { folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The settings of one service.
    pub fn auth(&self, service: &str) -> AuthSettings {
        AuthSettings {
            internal_signing_key_file: self.folder.path().join(format!("{service}.pem")),
            internal_jwks_file: self.folder.path().join("internal-jwks.json"),
        }
    }

    pub fn issuer(&self, service: &'static str) -> TokenIssuer {
        TokenIssuer::load(service, &self.auth(service), std::sync::Arc::new(SystemClock)).expect("an issuer")
    }

    /// A token in which the gateway states who the user is.
    pub fn user_token(&self, audience: &str, user: &UserIdentity) -> String {
        self.issuer("gateway")
            .user_token(audience, user)
            .expect("a token")
    }

    /// A new user with the roles, and a token for them.
    pub fn new_user(&self, audience: &str, roles: &[Role]) -> (UserId, String) {
        let user_id = UserId(fresh_uuid());
        let email = Email::parse(&format!("user-{}@example.com", user_id.as_uuid().simple())).ok();
        let user = UserIdentity {
            user_id,
            roles: roles.to_vec(),
            email,
            guest_session: None,
        };
        (user_id, self.user_token(audience, &user))
    }

    /// A token of a caller without an account.
    pub fn anonymous_token(&self, audience: &str) -> String {
        let user = UserIdentity {
            user_id: UserId(Uuid::nil()),
            roles: vec![Role::Anonymous],
            email: None,
            guest_session: None,
        };
        self.user_token(audience, &user)
    }

    pub fn service_token(&self, from: &'static str, audience: &str) -> String {
        self.issuer(from).service_token(audience).expect("a token")
    }
}

#[expect(clippy::disallowed_methods, reason = "tests want ids of their own")]
pub(crate) fn fresh_uuid() -> Uuid {
    Uuid::now_v7()
}
