//! An SMS provider as far as Twilio's Messages API goes, with the faults that a test asks for.

use std::sync::{Arc, Mutex};

use ferrocart_types::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use crate::receiver::{Request, request};

pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const PASSWORD: &str = "correct horse";
/// `ACCOUNT:PASSWORD`.
const BASIC: &str = "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpjb3JyZWN0IGhvcnNl";

/// What becomes of a message that is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    Taken,
    /// Taken, and the connection is cut before the answer.
    AnswerLost,
    /// Taken, and never answered.
    Silence,
    /// Refused with this status and this error of the provider's.
    Refused(u16, u32),
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) body: String,
    created: String,
}

/// Decides by how many messages were sent before, and by the number.
type Rule = Box<dyn Fn(usize, &str) -> Fate + Send + Sync>;

struct Shared {
    sent: Mutex<usize>,
    asked: Mutex<usize>,
    taken: Mutex<Vec<Taken>>,
    rule: Mutex<Rule>,
}

pub(crate) struct SmsServer {
    shared: Arc<Shared>,
    port: u16,
    running: CancellationToken,
}

impl Drop for SmsServer {
    fn drop(&mut self) {
        self.running.cancel();
    }
}

impl SmsServer {
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            sent: Mutex::default(),
            asked: Mutex::default(),
            taken: Mutex::default(),
            rule: Mutex::new(Box::new(|_, _| Fate::Taken)),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let running = CancellationToken::new();
        let (accepted, stop) = (shared.clone(), running.clone());
        ferrocart_telemetry::spawn("sms-server", async move {
            while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
                let (shared, stop) = (accepted.clone(), stop.clone());
                ferrocart_telemetry::spawn("sms-session", async move {
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

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn answer(&self, rule: impl Fn(usize, &str) -> Fate + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// How many messages it was sent, whatever became of them.
    pub(crate) fn sent(&self) -> usize {
        *self.shared.sent.lock().unwrap()
    }

    /// How often it was asked what it has taken.
    pub(crate) fn asked(&self) -> usize {
        *self.shared.asked.lock().unwrap()
    }
}

async fn session(stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let request = request(&mut read).await?;
        let (status, body) = match answer(&request, &shared) {
            Ok(answer) => answer,
            Err(Fate::Silence) => {
                // Ends when the other side has had enough.
                read.read_u8().await.ok()?;
                return None;
            }
            Err(_) => return None,
        };
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        write.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// `Err` when there is none.
fn answer(request: &Request, shared: &Shared) -> Result<(u16, Value), Fate> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    if path != format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json") {
        return Ok((404, json!({"code": 20_404})));
    }
    if request.header("authorization") != BASIC {
        return Ok((401, json!({"code": 20_003})));
    }
    let field = |form: &str, name: &str| {
        let mut fields = form_urlencoded::parse(form.as_bytes());
        fields
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    if request.method == "GET" {
        *shared.asked.lock().unwrap() += 1;
        let to = field(query, "To").unwrap();
        let taken = shared.taken.lock().unwrap();
        let of_number = taken.iter().rev().filter(|message| message.to == to);
        let messages: Vec<Value> = of_number
            .map(|message| {
                json!({"to": message.to, "from": message.from, "body": message.body, "status": "queued",
                       "date_created": message.created, "date_sent": null})
            })
            .collect();
        return Ok((200, json!({"messages": messages, "page": 0})));
    }
    assert_eq!(
        request.header("content-type"),
        "application/x-www-form-urlencoded"
    );
    let [to, from, body] = ["To", "From", "Body"].map(|name| field(&request.body, name).unwrap());
    let before = {
        let mut sent = shared.sent.lock().unwrap();
        *sent += 1;
        *sent - 1
    };
    let fate = (shared.rule.lock().unwrap())(before, &to);
    if let Fate::Refused(status, code) = fate {
        return Ok((
            status,
            json!({"code": code, "message": format!("not to {to}"), "status": status}),
        ));
    }
    let created = SystemClock.now().to_rfc2822();
    shared.taken.lock().unwrap().push(Taken {
        to,
        from,
        body,
        created,
    });
    match fate {
        Fate::Taken => Ok((201, json!({"sid": "SM1", "status": "queued"}))),
        lost => Err(lost),
    }
}
