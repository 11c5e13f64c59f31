use std::sync::{Arc, OnceLock};

use ferrocart_config::SecretString;
use ferrocart_gateway::{Application, Gateway, Limit, Settings};
use ferrocart_http_kit::ServiceMain;
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_test_kit::{Api, TestEnv, TestKeys, eventually};
use ferrocart_types::{Clock, MockClock, SystemClock, SystemIds};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::upstream::Upstream;

pub(crate) const ADMIN_EMAIL: &str = "root@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A gateway of the test's own, with its stores.
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) port: u16,
    pub(crate) tls_port: Option<u16>,
    pub(crate) env: TestEnv,
    pub(crate) upstream: Upstream,
    pub(crate) clock: Arc<MockClock>,
    /// The PEM of the key that signs access tokens.
    pub(crate) signing_key: Vec<u8>,
    pub(crate) stop: CancellationToken,
    _stop: DropGuard,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With settings of the test's, and no Kafka: only streams need it.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with_keys(|settings, _| change(settings)).await
    }

    /// Like [`Self::with`]; the keys are for replicas of the test's own.
    pub(crate) async fn with_keys(change: impl FnOnce(&mut Settings, &TestKeys)) -> Self {
        let mut env = TestEnv::new("gateway").await;
        env.kafka.kafka_brokers = "127.0.0.1:1".into();
        Self::build(env, change).await
    }

    /// With the topics that all tests of this run share: an order belongs to one test, and every topic
    /// costs the broker a dozen partitions.
    pub(crate) async fn with_events(change: impl FnOnce(&mut Settings)) -> Self {
        static TOPICS: OnceLock<KafkaSettings> = OnceLock::new();
        let mut env = TestEnv::new("gateway").await;
        env.kafka = TOPICS.get_or_init(|| env.kafka.clone()).clone();
        Self::build(env, |settings, _| change(settings)).await
    }

    async fn build(env: TestEnv, change: impl FnOnce(&mut Settings, &TestKeys)) -> Self {
        let upstream = Upstream::start(&env.keys);
        let public_keys = TestKeys::generate();
        let key_file = public_keys.folder().join("gateway.pem");
        let mut settings = defaults(&env, &upstream);
        settings.identity.jwt_signing_key_file.clone_from(&key_file);
        change(&mut settings, &env.keys);
        let clock = MockClock::at(SystemClock.now());
        let application = Application::build(settings, clock.clone(), Arc::new(SystemIds))
            .await
            .expect("the gateway");
        let port = application.port().unwrap();
        let tls_port = application.tls_port().unwrap();
        let stop = CancellationToken::new();
        ferrocart_telemetry::spawn("gateway", application.run_until_stopped(stop.clone()));
        Self {
            api: Api::new(port),
            port,
            tls_port,
            env,
            upstream,
            clock,
            signing_key: std::fs::read(key_file).unwrap(),
            _stop: stop.clone().drop_guard(),
            stop,
        }
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Value {
        let body = json!({"email": email, "password": password});
        self.api.post("/v1/auth/token", body).await.expect(200).json
    }

    pub(crate) async fn register(&self) -> (String, String) {
        let email = format!("u{}@example.com", fresh().simple());
        let body = json!({"email": email, "password": PASSWORD, "name": "Ada"});
        let user = self.api.post("/v1/users", body).await.expect(201).json;
        (user["user_id"].as_str().unwrap().to_owned(), email)
    }

    /// A new user with these roles: id and access token.
    pub(crate) async fn user(&self, roles: &[&str]) -> (String, String) {
        let (user_id, email) = self.register().await;
        if roles != ["customer"] {
            let path = format!("/v1/users/{user_id}/roles");
            let admin = self.admin().await;
            admin.put(&path, json!({"roles": roles})).await.expect(200);
        }
        let tokens = self.log_in(&email, PASSWORD).await;
        (user_id, access(&tokens))
    }

    pub(crate) async fn customer(&self) -> Api {
        let (_, token) = self.user(&["customer"]).await;
        self.api.with_token(token)
    }

    pub(crate) async fn admin(&self) -> Api {
        let tokens = self.log_in(ADMIN_EMAIL, PASSWORD).await;
        self.api.with_token(access(&tokens))
    }

    /// The mails to an address, once there are so many.
    pub(crate) async fn mails(&self, email: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} mails"), || async {
            let mut mails = self.upstream.mails();
            mails.retain(|mail| mail["email"] == email);
            (mails.len() == count).then_some(mails)
        })
        .await
    }

    pub(crate) async fn guest(&self) -> Value {
        self.api.post("/v1/auth/guest", json!({})).await.expect(200).json
    }
}

pub(crate) fn access(tokens: &Value) -> String {
    tokens["access_token"]
        .as_str()
        .expect("an access token")
        .to_owned()
}

/// Of the link in a mail.
pub(crate) fn link_token(mail: &Value) -> &str {
    let (_, token) = mail["link"].as_str().unwrap().split_once("#token=").unwrap();
    token
}

pub(crate) fn refresh(tokens: &Value) -> String {
    tokens["refresh_token"]
        .as_str()
        .expect("a refresh token")
        .to_owned()
}

#[expect(clippy::disallowed_methods, reason = "tests want ids of their own")]
pub(crate) fn fresh() -> Uuid {
    Uuid::now_v7()
}

fn defaults(env: &TestEnv, upstream: &Upstream) -> Settings {
    // The shipped defaults, so that they are tested as well.
    let mut settings: Settings = ferrocart_config::load_from(Gateway::DEFAULTS, |_| None).unwrap();
    settings.http = env.http();
    settings.telemetry = env.telemetry();
    settings.auth = env.auth();
    settings.pg = env.pg.clone();
    settings.redis = env.redis.clone();
    settings.kafka = env.kafka.clone();
    settings.identity.bootstrap_admin_email = ADMIN_EMAIL.into();
    settings.identity.bootstrap_admin_password = SecretString::from(PASSWORD);
    let urls = &mut settings.upstreams;
    for url in [
        &mut urls.catalog_url,
        &mut urls.search_url,
        &mut urls.cart_url,
        &mut urls.inventory_url,
        &mut urls.order_url,
        &mut urls.payment_url,
        &mut urls.notification_url,
    ] {
        *url = upstream.url();
    }
    settings.identity.password_tries_burst = 1_000_000;
    // Tests share addresses, and are faster than people.
    let wide = Limit {
        per_second: 1_000_000,
        burst: 1_000_000,
    };
    let limits = &mut settings.limits;
    for limit in [
        &mut limits.global,
        &mut limits.address,
        &mut limits.user,
        &mut limits.key,
        &mut limits.flash_sale,
        &mut limits.auth,
        &mut limits.read,
        &mut limits.write,
        &mut limits.checkout,
        &mut limits.import,
        &mut limits.stream,
        &mut limits.webhook,
    ] {
        *limit = wide;
    }
    settings
}
