//! A merchant's server: takes requests, remembers them, and answers as a test tells it to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status with these header lines.
    Status(u16, &'static str),
    /// None, until the test is over.
    Silence,
}

type Rule = Box<dyn Fn(usize) -> Answer + Send + Sync>;

struct Shared {
    requests: Mutex<Vec<Request>>,
    rule: Mutex<Rule>,
    waiting: AtomicUsize,
    waiting_max: AtomicUsize,
}

pub(crate) struct Receiver {
    shared: Arc<Shared>,
    port: u16,
    running: CancellationToken,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.running.cancel();
    }
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            rule: Mutex::new(Box::new(|_| Answer::Status(204, ""))),
            waiting: AtomicUsize::new(0),
            waiting_max: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let running = CancellationToken::new();
        let (accepted, stop) = (shared.clone(), running.clone());
        ferrocart_telemetry::spawn("receiver", async move {
            while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
                let (shared, stop) = (accepted.clone(), stop.clone());
                ferrocart_telemetry::spawn("receiver-session", async move {
                    stop.run_until_cancelled(session(stream, shared)).await;
                });
            }
        });
        Self {
            shared,
            port,
            running,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Decides by how many requests came before.
    pub(crate) fn answer(&self, rule: impl Fn(usize) -> Answer + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until so many have come.
    pub(crate) async fn until(&self, count: usize) -> Vec<Request> {
        ferrocart_test_kit::eventually(&format!("{count} webhooks"), || async {
            let requests = self.requests();
            (requests.len() >= count).then_some(requests)
        })
        .await
    }

    /// Waits until so many are left without an answer at once.
    pub(crate) async fn until_waiting(&self, count: usize) {
        ferrocart_test_kit::eventually(&format!("{count} webhooks without an answer"), || async {
            (self.shared.waiting.load(Ordering::SeqCst) >= count).then_some(())
        })
        .await;
    }

    /// How many have been left without an answer at the same time.
    pub(crate) fn waiting_max(&self) -> usize {
        self.shared.waiting_max.load(Ordering::SeqCst)
    }
}

async fn session(stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let request = request(&mut read).await?;
        let before = {
            let mut requests = shared.requests.lock().unwrap();
            requests.push(request);
            requests.len() - 1
        };
        let answer = (shared.rule.lock().unwrap())(before);
        match answer {
            Answer::Status(status, headers) => {
                let answer = format!("HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\n\r\n");
                write.write_all(answer.as_bytes()).await.ok()?;
            }
            Answer::Silence => {
                let waiting = shared.waiting.fetch_add(1, Ordering::SeqCst) + 1;
                shared.waiting_max.fetch_max(waiting, Ordering::SeqCst);
                // Ends when the other side has had enough.
                let gone = read.read_u8().await;
                shared.waiting.fetch_sub(1, Ordering::SeqCst);
                gone.ok()?;
            }
        }
    }
}

pub(crate) async fn request(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Request> {
    let mut line = String::new();
    read.read_line(&mut line).await.ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        read.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(Some(0), |text| text.parse().ok())?;
    let mut body = vec![0; length];
    read.read_exact(&mut body).await.ok()?;
    Some(Request {
        method,
        path,
        headers,
        body: String::from_utf8(body).ok()?,
    })
}
