//! A client of the sandbox, and a webhook endpoint that remembers what it was sent.

use actix_web::{HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use ferrocart_psp_sandbox::{Options, Running, Sandbox, WebhookOptions};
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) const KEY: &str = "sk_test_it";
pub(crate) const SECRET: &str = "whsec_it";
static KEYS: AtomicU64 = AtomicU64::new(1);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// The error object, after its status and code were checked.
    #[track_caller]
    pub(crate) fn error(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.body["error"]["code"], code, "{}", self.body);
        self.body["error"].clone()
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Self {
            base: base.to_owned(),
            http: http.unwrap(),
        }
    }

    pub(crate) async fn send(
        &self,
        path: &str,
        key: &str,
        form: &[(&str, &str)],
    ) -> Result<Answer, reqwest::Error> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(KEY);
        let answer = request.header("Idempotency-Key", key).form(form).send().await?;
        read(answer).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let key = format!("key-{}", KEYS.fetch_add(1, Ordering::Relaxed));
        self.send(path, &key, form).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(KEY);
        read(request.send().await.unwrap()).await.unwrap()
    }

    pub(crate) async fn faults(&self, json: &str) {
        let request = self
            .http
            .post(format!("{}/sandbox/faults", self.base))
            .bearer_auth(KEY);
        let answer = request.body(json.to_owned()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// An authorization of 10.00 USD.
    pub(crate) async fn authorize(&self, method: &str) -> Value {
        self.post("/v1/payment_intents", &authorization(method, "order-1"))
            .await
            .ok()
    }

    pub(crate) async fn ledger(&self) -> Vec<Value> {
        let request = self
            .http
            .get(format!("{}/sandbox/ledger", self.base))
            .bearer_auth(KEY);
        let text = request.send().await.unwrap().text().await.unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

async fn read(answer: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(Answer {
        status,
        headers,
        body: answer.json().await?,
    })
}

pub(crate) fn authorization<'a>(method: &'a str, order: &'a str) -> [(&'a str, &'a str); 6] {
    [
        ("amount", "1000"),
        ("currency", "usd"),
        ("capture_method", "manual"),
        ("confirm", "true"),
        ("payment_method", method),
        ("metadata[order_id]", order),
    ]
}

#[track_caller]
pub(crate) fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn start(dir: &Path) -> (Running, Client) {
    start_with(Options::new(dir, KEY)).await
}

pub(crate) async fn start_with(options: Options) -> (Running, Client) {
    let running = Sandbox::start(options).await.unwrap();
    let client = Client::new(&running.base_url);
    (running, client)
}

/// One delivery: the signature and the bytes.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) signature: String,
    pub(crate) payload: String,
}

impl Delivery {
    pub(crate) fn event(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.event()["type"].as_str().unwrap().to_owned()
    }
}

#[derive(Default)]
pub(crate) struct Seen {
    deliveries: Mutex<Vec<Delivery>>,
    /// What the endpoint answers; 0 is 200.
    pub(crate) status: AtomicU16,
}

pub(crate) struct Endpoint {
    pub(crate) seen: Arc<Seen>,
    pub(crate) options: WebhookOptions,
    server: actix_web::dev::ServerHandle,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}

async fn take(request: HttpRequest, body: Bytes, seen: web::Data<Arc<Seen>>) -> HttpResponse {
    let signature = request
        .headers()
        .get("stripe-signature")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let payload = String::from_utf8(body.to_vec()).unwrap();
    seen.deliveries
        .lock()
        .unwrap()
        .push(Delivery { signature, payload });
    match seen.status.load(Ordering::SeqCst) {
        0 => HttpResponse::Ok().finish(),
        status => HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).finish(),
    }
}

impl Endpoint {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let seen = Arc::new(Seen::default());
        let data = web::Data::new(Arc::clone(&seen));
        let server = HttpServer::new(move || {
            actix_web::App::new()
                .app_data(data.clone())
                .route("/hook", web::post().to(take))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        spawn(async move { server.await.unwrap() });
        let options = WebhookOptions {
            url,
            secret: SECRET.to_owned(),
        };
        Self {
            seen,
            options,
            server: handle,
        }
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.seen.deliveries.lock().unwrap().clone()
    }

    /// Waits until there are as many.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Delivery> {
        until("the webhooks", || async {
            let deliveries = self.deliveries();
            (deliveries.len() >= count).then_some(deliveries)
        })
        .await
    }
}

/// Polls until there is something, for at most ten seconds.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within 10 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's task needs no name")]
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}
