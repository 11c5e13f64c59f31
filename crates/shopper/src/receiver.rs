//! A merchant's server: just enough of HTTP to take webhooks, and the check, after the Standard Webhooks specification,
//! that they are the shop's.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::report::Unmet;

/// The sender connects when it has something to say.
const CONNECTION_MAX: Duration = Duration::from_secs(5);
const HEAD_LINES_MAX: usize = 64;
const HEAD_BYTES_MAX: u64 = 16 * 1024;
const BODY_BYTES_MAX: u64 = 1024 * 1024;
/// The specification's tolerance.
const AGE_MAX: Duration = Duration::from_mins(5);
const SECRET_PREFIX: &str = "whsec_";

/// One message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(crate) id: String,
    pub(crate) timestamp: String,
    pub(crate) signatures: String,
    pub(crate) body: String,
    arrived: SystemTime,
}

impl Posted {
    /// Says what is wrong with it.
    pub(crate) fn verify(&self, secret: &str) -> Result<(), &'static str> {
        let key = secret
            .strip_prefix(SECRET_PREFIX)
            .and_then(|secret| STANDARD.decode(secret).ok())
            .ok_or("the secret is not whsec_ and base64")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let sent = self.timestamp.parse().map_err(|_| "no webhook-timestamp")?;
        let sent = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(sent))
            .ok_or("no webhook-timestamp")?;
        let apart = self
            .arrived
            .duration_since(sent)
            .unwrap_or_else(|error| error.duration());
        if apart > AGE_MAX {
            return Err("it was not sent just now");
        }
        let signed = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let holds = |signature: &str| {
            signature
                .strip_prefix("v1,")
                .and_then(|tag| STANDARD.decode(tag).ok())
                .is_some_and(|tag| hmac::verify(&key, signed.as_bytes(), &tag).is_ok())
        };
        if self.signatures.split(' ').any(holds) {
            Ok(())
        } else {
            Err("no signature holds")
        }
    }
}

pub(crate) struct Receiver {
    listener: TcpListener,
    url: String,
    posted: Mutex<Vec<Posted>>,
}

impl Receiver {
    pub(crate) async fn bind() -> Result<Self, Unmet> {
        let unmet = |error: std::io::Error| Unmet::new(format!("a free port for webhooks ({error})"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(unmet)?;
        let address = listener.local_addr().map_err(unmet)?;
        Ok(Self {
            listener,
            url: format!("http://{address}/webhooks"),
            posted: Mutex::default(),
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes messages, one connection after the other.
    pub(crate) async fn serve(&self) -> Infallible {
        loop {
            match self.listener.accept().await {
                // Who breaks off or dawdles sends it again.
                Ok((stream, _)) => drop(tokio::time::timeout(CONNECTION_MAX, self.take(stream)).await),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn take(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let answer = match read(&mut stream).await? {
            Some(posted) => {
                let mut all = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(posted);
                "204 No Content"
            }
            None => "400 Bad Request",
        };
        let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }
}

/// `None` for what is no message.
async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Posted>> {
    let mut head = BufReader::new(stream).take(HEAD_BYTES_MAX);
    let mut line = String::new();
    head.read_line(&mut line).await?;
    if !line.starts_with("POST /webhooks ") {
        return Ok(None);
    }
    let mut posted = Posted {
        id: String::new(),
        timestamp: String::new(),
        signatures: String::new(),
        body: String::new(),
        arrived: SystemTime::now(),
    };
    let mut length = 0;
    for _ in 0..HEAD_LINES_MAX {
        let mut line = String::new();
        head.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "webhook-id" => value.clone_into(&mut posted.id),
            "webhook-timestamp" => value.clone_into(&mut posted.timestamp),
            "webhook-signature" => value.clone_into(&mut posted.signatures),
            _ => {}
        }
    }
    if length == 0 || length > BODY_BYTES_MAX {
        return Ok(None);
    }
    let mut body = head.into_inner().take(length);
    if body.read_to_string(&mut posted.body).await? != usize::try_from(length).unwrap_or(usize::MAX) {
        return Ok(None);
    }
    Ok(Some(posted))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn example() -> Posted {
        Posted {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            timestamp: "1614265330".to_owned(),
            signatures: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned(),
            body: r#"{"test": 2432232314}"#.to_owned(),
            arrived: SystemTime::UNIX_EPOCH + Duration::from_secs(1_614_265_330),
        }
    }

    #[test]
    fn only_what_was_signed_just_now_is_believed() {
        let posted = example();
        assert_eq!(posted.verify(SECRET), Ok(()));
        let rotated = Posted {
            signatures: format!("v1,AAAA v2,BBBB {}", posted.signatures),
            ..posted.clone()
        };
        assert_eq!(rotated.verify(SECRET), Ok(()));
        let forged = Posted {
            body: posted.body.replace('2', "3"),
            ..posted.clone()
        };
        assert_eq!(forged.verify(SECRET), Err("no signature holds"));
        let minutes = Duration::from_mins(6);
        for arrived in [
            posted.arrived + minutes,
            posted.arrived.checked_sub(minutes).unwrap(),
        ] {
            let apart = Posted {
                arrived,
                ..posted.clone()
            };
            assert_eq!(apart.verify(SECRET), Err("it was not sent just now"));
        }
        assert!(posted.verify("MfKQ9r8GKYqrTwjU").is_err());
    }

    #[tokio::test]
    async fn a_message_is_taken_and_anything_else_refused() {
        let receiver = Receiver::bind().await.unwrap();
        let http = reqwest::Client::new();
        let posted = example();
        let send = async {
            let request = http
                .post(receiver.url())
                .header("webhook-id", &posted.id)
                .header("webhook-timestamp", &posted.timestamp)
                .header("webhook-signature", &posted.signatures)
                .body(posted.body.clone());
            let taken = request.send().await.unwrap().status().as_u16();
            let refused = http.get(receiver.url()).send().await.unwrap().status().as_u16();
            (taken, refused)
        };
        let statuses = tokio::select! {
            statuses = send => statuses,
            never = receiver.serve() => match never {},
        };
        assert_eq!(statuses, (204, 400));
        let [taken] = <[Posted; 1]>::try_from(receiver.posted()).unwrap();
        let arrived = taken.arrived;
        assert_eq!(taken, Posted { arrived, ..posted });
    }
}
