//! A client's end of HTTP/1.1 that does as little as can be done: requests are bytes made beforehand, of
//! answers it reads the status and the length. What it costs is taken from the machine under test.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const HEADERS_MAX: usize = 32;
/// Of the largest answer, such as a page of hits with all facets.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// What is set aside for answers at first; a larger one makes room for itself.
const BUFFER_BYTES: usize = 64 * 1024;

pub struct Connection {
    pub opened: Instant,
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    pub async fn open(target: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(target)
            .await
            .with_context(|| format!("connect to {target}"))?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        Ok(Self {
            opened: Instant::now(),
            stream,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
        })
    }

    /// Sends one request and reads its answer to the end; its status.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await.context("send a request")?;
        self.filled = 0;
        loop {
            if self.filled == self.buffer.len() {
                if self.filled >= ANSWER_BYTES_MAX {
                    bail!("an answer of more than {ANSWER_BYTES_MAX} bytes");
                }
                self.buffer.resize(self.filled * 2, 0);
            }
            let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let read = self.stream.read(free).await.context("read an answer")?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            self.filled += read;
            if let Some(status) = self.whole_answer()? {
                return Ok(status);
            }
        }
    }

    /// What of the last answer has arrived.
    pub fn received(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    fn whole_answer(&self) -> Result<Option<u16>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(self.received()).context("an answer")? else {
            return Ok(None);
        };
        let length = answer
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok())
            .and_then(|value| value.parse::<usize>().ok())
            .context("an answer without a content-length")?;
        Ok((self.filled >= head + length).then_some(answer.code.unwrap_or_default()))
    }
}

/// A request that is made once; ids are put into it anew for every request.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    /// Where the ids stand, in order.
    ids_at: Vec<usize>,
}

const ID_BYTES: usize = 36;
/// Stands for an id in a template.
pub const ID: &str = "@";

impl Template {
    /// `path` and `body` have an `@` wherever an id belongs.
    pub fn post(path: &str, token: &str, body: &str) -> Self {
        let ids = body.matches(ID).count();
        let length = body.len() + ids * (ID_BYTES - ID.len());
        Self::of(&format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    /// Without a body; `path` has an `@` wherever an id belongs. No token where it is empty.
    pub fn get(path: &str, token: &str) -> Self {
        let authorization = match token {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        Self::of(&format!(
            "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{authorization}\r\n"
        ))
    }

    fn of(text: &str) -> Self {
        let parts: Vec<&str> = text.split(ID).collect();
        let ids = parts.len() - 1;
        let mut bytes = Vec::with_capacity(text.len() + ids * ID_BYTES);
        let mut ids_at = Vec::with_capacity(ids);
        for (index, part) in parts.iter().enumerate() {
            bytes.extend(part.as_bytes());
            if index < ids {
                ids_at.push(bytes.len());
                bytes.extend([b'0'; ID_BYTES]);
            }
        }
        Self { bytes, ids_at }
    }

    /// The request with these ids in their places; those for which there is no place are left out.
    pub fn with(&mut self, ids: &[uuid::Uuid]) -> &[u8] {
        for (at, id) in self.ids_at.iter().zip(ids) {
            if let Some(place) = self.bytes.get_mut(*at..*at + ID_BYTES) {
                id.hyphenated().encode_lower(place);
            }
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_its_own_ids_and_the_right_length() {
        let mut template = Template::post("/x", "t", r#"{"order_id":"@","sku_id":"@"}"#);
        for n in [1_u128, u128::MAX] {
            let (order, sku) = (uuid::Uuid::from_u128(n), uuid::Uuid::from_u128(n / 2));
            let text = String::from_utf8(template.with(&[order, sku]).to_vec()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, format!(r#"{{"order_id":"{order}","sku_id":"{sku}"}}"#));
            assert!(
                head.ends_with(&format!("content-length: {}", body.len())),
                "{head}"
            );
        }
    }

    #[test]
    fn an_id_may_stand_in_the_path() {
        let id = uuid::Uuid::from_u128(7);
        let mut template = Template::get("/v1/products/@", "");
        assert_eq!(
            template.with(&[id]),
            format!("GET /v1/products/{id} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").as_bytes()
        );
    }

    #[test]
    fn a_body_without_ids_stays_as_it_is() {
        let mut template = Template::post("/x", "t", "{}");
        assert!(
            template
                .with(&[uuid::Uuid::nil()])
                .ends_with(b"content-length: 2\r\n\r\n{}")
        );
    }
}
