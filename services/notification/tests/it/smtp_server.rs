//! A mail server as far as RFC 5321 needs it, which a test can tell what to answer and stop and start.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: Vec<u8>,
}

/// Answers a recipient with a refusal, or `None` to take the e-mail.
type Rule = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

struct Shared {
    arrived: Mutex<Vec<Arrived>>,
    rule: Mutex<Rule>,
}

pub(crate) struct SmtpServer {
    shared: Arc<Shared>,
    port: u16,
    running: Option<CancellationToken>,
}

impl SmtpServer {
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            arrived: Mutex::default(),
            rule: Mutex::new(Box::new(|_| None)),
        });
        let mut server = Self {
            shared,
            port: 0,
            running: None,
        };
        server.listen().await;
        server
    }

    /// Listens again, on the port it had.
    pub(crate) async fn listen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let cancel = CancellationToken::new();
        let (shared, stop) = (self.shared.clone(), cancel.clone());
        ferrocart_telemetry::spawn("smtp-server", async move {
            while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
                let (shared, stop) = (shared.clone(), stop.clone());
                ferrocart_telemetry::spawn("smtp-session", async move {
                    stop.run_until_cancelled(session(stream, shared)).await;
                });
            }
        });
        self.running = Some(cancel);
    }

    /// Cuts all connections and refuses new ones.
    pub(crate) async fn stop(&mut self) {
        self.running.take().unwrap().cancel();
        ferrocart_test_kit::eventually("a closed port", || async {
            TcpStream::connect(("127.0.0.1", self.port))
                .await
                .is_err()
                .then_some(())
        })
        .await;
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    pub(crate) fn answer(&self, rule: impl Fn(&str) -> Option<String> + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.shared.arrived.lock().unwrap().clone()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.cancel();
        }
    }
}

/// One connection, until the client is done with it or the other end is gone.
async fn session(stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let (mut from, mut to) = (String::new(), Vec::new());
    write.write_all(b"220 test ESMTP\r\n").await.ok()?;
    loop {
        let line = line(&mut read).await?;
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = text.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let address = || text.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let answer = match verb.as_str() {
            "EHLO" | "HELO" => "250-test\r\n250 8BITMIME".to_owned(),
            "MAIL" => {
                (from, to) = (address(), Vec::new());
                "250 OK".to_owned()
            }
            "RCPT" => {
                let refusal = (shared.rule.lock().unwrap())(&address());
                to.extend(refusal.is_none().then(address));
                refusal.unwrap_or_else(|| "250 OK".to_owned())
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.ok()?;
                let data = data(&mut read).await?;
                let (from, to) = (std::mem::take(&mut from), std::mem::take(&mut to));
                shared.arrived.lock().unwrap().push(Arrived { from, to, data });
                "250 OK".to_owned()
            }
            "RSET" | "NOOP" => "250 OK".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            _ => "502 unknown".to_owned(),
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
        if verb == "QUIT" {
            return None;
        }
    }
}

async fn data(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let line = line(read).await?;
        if line == b".\r\n" {
            return Some(data);
        }
        data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

async fn line(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let reading = read.read_until(b'\n', &mut line);
    let count = tokio::time::timeout(Duration::from_mins(1), reading)
        .await
        .ok()?
        .ok()?;
    (count > 0).then_some(line)
}
