//! Reads the e-mails that the platform left as files: just enough of RFC 5322 and MIME to tell to whom
//! one went, what it is about and which order it names.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use crate::report::Unmet;

const MAIL_BYTES_MAX: u64 = 1024 * 1024;
const PARTS_DEPTH_MAX: u32 = 4;
/// File systems keep times more coarsely than the clock tells them.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum MailKind {
    Confirmed,
    Shipped,
    Delivered,
    Cancelled,
    Other,
}

#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) kind: MailKind,
    pub(crate) subject: String,
    to: String,
    text: String,
}

impl Mail {
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let raw = String::from_utf8_lossy(raw);
        let (headers, body) = split_head(&raw);
        let subject = decode_words(header(&headers, "subject").unwrap_or_default());
        let to = header(&headers, "to").unwrap_or_default().to_lowercase();
        let mut text = format!("{subject}\n{raw_headers}\n", raw_headers = headers.join("\n"));
        decode_part(&headers, body, 0, &mut text);
        Self {
            kind: kind_of(&subject),
            subject,
            to,
            text,
        }
    }

    pub(crate) fn is_to(&self, email: &str) -> bool {
        let email = email.to_lowercase();
        let addresses = self.to.split([',', ' ', '<', '>', '"', ';', '\t']);
        addresses.into_iter().any(|address| address == email)
    }

    pub(crate) fn names(&self, order_id: Uuid) -> bool {
        self.text.contains(&order_id.to_string())
    }
}

/// A cancelled order was confirmed once, a delivered one shipped: the later word decides.
fn kind_of(subject: &str) -> MailKind {
    let subject = subject.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| subject.contains(word));
    if says(&["cancel"]) {
        MailKind::Cancelled
    } else if says(&["deliver", "arrived"]) {
        MailKind::Delivered
    } else if says(&["ship", "on its way", "on the way"]) {
        MailKind::Shipped
    } else if says(&["confirm"]) {
        MailKind::Confirmed
    } else {
        MailKind::Other
    }
}

/// Unfolded header lines, and what follows the first empty line.
fn split_head(raw: &str) -> (Vec<String>, &str) {
    let mut headers: Vec<String> = Vec::new();
    let mut rest = raw;
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            break;
        }
        match headers.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(line.trim_start());
            }
            _ => headers.push(line.to_owned()),
        }
    }
    (headers, rest)
}

fn header<'a>(headers: &'a [String], name: &str) -> Option<&'a str> {
    headers.iter().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn decode_part(headers: &[String], body: &str, depth: u32, text: &mut String) {
    let content_type = header(headers, "content-type").unwrap_or("text/plain");
    if let Some(boundary) = boundary(content_type)
        && depth < PARTS_DEPTH_MAX
    {
        for part in body.split(&format!("--{boundary}")).skip(1) {
            let part = part.trim_start_matches("\r\n").trim_start_matches('\n');
            let (headers, body) = split_head(part);
            decode_part(&headers, body, depth + 1, text);
        }
        return;
    }
    let encoding = header(headers, "content-transfer-encoding")
        .unwrap_or("7bit")
        .to_lowercase();
    match encoding.as_str() {
        "base64" => text.push_str(&decode_base64(body)),
        "quoted-printable" => text.push_str(&decode_quoted(body)),
        _ => text.push_str(body),
    }
    text.push('\n');
}

fn boundary(content_type: &str) -> Option<&str> {
    if !content_type.to_lowercase().starts_with("multipart/") {
        return None;
    }
    let after = content_type.split("boundary=").nth(1)?;
    after
        .strip_prefix('"')
        .map_or_else(|| after.split(';').next(), |quoted| quoted.split('"').next())
}

fn decode_base64(body: &str) -> String {
    let compact: String = body.split_whitespace().collect();
    STANDARD.decode(compact).map_or_else(
        |_| String::new(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

fn decode_quoted(body: &str) -> String {
    let bytes = body.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let hex = rest.get(1..3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (rest[0], hex.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'=', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (b'=', None) if rest.starts_with(b"=\r\n") => at += 3,
            (b'=', None) if rest.starts_with(b"=\n") => at += 2,
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// `=?utf-8?B?…?=` and `=?utf-8?Q?…?=` (RFC 2047); the space between two of them is not text.
fn decode_words(value: &str) -> String {
    let mut out = String::new();
    let mut after_encoded = true;
    for word in value.split(' ').filter(|word| !word.is_empty()) {
        let decoded = decode_word(word);
        if !(out.is_empty() || after_encoded && decoded.is_some()) {
            out.push(' ');
        }
        after_encoded = decoded.is_some();
        out.push_str(decoded.as_deref().unwrap_or(word));
    }
    out
}

fn decode_word(word: &str) -> Option<String> {
    let mut fields = word
        .strip_prefix("=?")?
        .strip_suffix("?=")?
        .splitn(3, '?')
        .skip(1);
    match (fields.next()?, fields.next()?) {
        ("B" | "b", data) => Some(decode_base64(data)),
        ("Q" | "q", data) => Some(decode_quoted(&data.replace('_', " "))),
        _ => None,
    }
}

/// The folder that the notification service writes to.
pub(crate) struct MailDir {
    path: PathBuf,
    since: SystemTime,
}

impl MailDir {
    /// Mails from before now are not looked at.
    pub(crate) fn from_now_on(path: PathBuf) -> Self {
        let now = SystemTime::now();
        Self {
            path,
            since: now.checked_sub(CLOCK_SLACK).unwrap_or(now),
        }
    }

    pub(crate) fn path(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// The mails to this address that name this order.
    pub(crate) async fn about(&self, email: &str, order_id: Uuid) -> Result<Vec<Mail>, Unmet> {
        let unreadable =
            |error: std::io::Error| Unmet::new(format!("to read the mail folder {}: {error}", self.path()));
        let mut found = Vec::new();
        let mut entries = tokio::fs::read_dir(&self.path).await.map_err(unreadable)?;
        while let Some(entry) = entries.next_entry().await.map_err(unreadable)? {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "eml") {
                continue;
            }
            // A file that is being renamed into place may be gone again; the next look finds it.
            let Ok(metadata) = entry.metadata().await else {
                continue;
            };
            let recent = metadata.modified().is_ok_and(|modified| modified >= self.since);
            if !recent || metadata.len() > MAIL_BYTES_MAX {
                continue;
            }
            let Ok(raw) = tokio::fs::read(&path).await else {
                continue;
            };
            let mail = Mail::parse(&raw);
            if mail.is_to(email) && mail.names(order_id) {
                found.push(mail);
            }
        }
        found.sort_by_key(|mail| mail.kind);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "0199c2f0-7a1b-7c3d-8e4f-5a6b7c8d9e0f";

    fn order_id() -> Uuid {
        ORDER.parse().unwrap()
    }

    #[test]
    fn a_plain_mail_is_read() {
        let raw = format!(
            "From: Shop <shop@x.test>\r\nTo: Ada <Ada@x.test>\r\nSubject: Your order is\r\n confirmed\r\n\r\nOrder {ORDER}\r\n"
        );
        let mail = Mail::parse(raw.as_bytes());
        assert_eq!(
            (mail.kind, mail.subject.as_str()),
            (MailKind::Confirmed, "Your order is confirmed")
        );
        assert!(mail.is_to("ada@x.test") && !mail.is_to("a@x.test"));
        assert!(mail.names(order_id()) && !mail.names(Uuid::nil()));
    }

    #[test]
    fn spaces_between_encoded_words_are_not_text() {
        assert_eq!(decode_words("Re: =?utf-8?Q?a=20?= =?utf-8?Q?b?= c"), "Re: a b c");
        assert_eq!(decode_words("=?utf-8?X?a?= b"), "=?utf-8?X?a?= b");
    }

    #[test]
    fn an_order_id_that_quoted_printable_broke_is_found() {
        let (head, tail) = ORDER.split_at(20);
        let raw = format!(
            "To: a@x.test\nSubject: =?utf-8?Q?Shipped_=E2=9C=93?=\nContent-Transfer-Encoding: quoted-printable\n\nBestellung =C3=BC {head}=\r\n{tail}\n"
        );
        let mail = Mail::parse(raw.as_bytes());
        assert_eq!(
            (mail.kind, mail.subject.as_str()),
            (MailKind::Shipped, "Shipped ✓")
        );
        assert!(mail.names(order_id()));
    }

    #[test]
    fn the_parts_of_a_multipart_mail_are_decoded() {
        let encoded = STANDARD.encode(format!("Your order {ORDER} was delivered"));
        let raw = format!(
            "To: a@x.test\r\nSubject: =?utf-8?b?{}?=\r\nContent-Type: multipart/alternative;\r\n boundary=\"xyz\"\r\n\r\n--xyz\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n--xyz--\r\n",
            STANDARD.encode("Delivered: your order")
        );
        let mail = Mail::parse(raw.as_bytes());
        assert_eq!(mail.kind, MailKind::Delivered);
        assert!(mail.names(order_id()));
    }

    #[tokio::test]
    async fn only_mails_to_the_buyer_about_the_order_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, to: &str, subject: &str, order: &str| {
            let raw = format!("To: {to}\r\nSubject: {subject}\r\n\r\n{order}\r\n");
            std::fs::write(dir.path().join(name), raw).unwrap();
        };
        write("1.eml", "a@x.test", "Order shipped", ORDER);
        write("2.eml", "a@x.test", "Order confirmed", ORDER);
        write("3.eml", "b@x.test", "Order confirmed", ORDER);
        write("4.eml", "a@x.test", "Order confirmed", "another");
        write("5.tmp", "a@x.test", "Order confirmed", ORDER);
        let mails = MailDir::from_now_on(dir.path().to_owned())
            .about("a@x.test", order_id())
            .await
            .unwrap();
        let kinds: Vec<MailKind> = mails.iter().map(|mail| mail.kind).collect();
        assert_eq!(kinds, [MailKind::Confirmed, MailKind::Shipped]);
    }
}
