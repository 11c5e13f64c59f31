//! A reader of Server-Sent Events (WHATWG HTML, section 9.2): the parser, and a stream that reconnects.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use reqwest::Response;

use crate::api::Api;
use crate::report::Unmet;

const LINE_BYTES_MAX: usize = 64 * 1024;
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

/// Bytes in, events out, however the bytes were cut.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    started: bool,
    name: String,
    data: String,
    /// Stays from event to event, as the standard has it.
    id: Option<String>,
}

impl Parser {
    pub(crate) fn push(&mut self, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), Unmet> {
        for byte in bytes {
            let cr_before = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if cr_before => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    self.take_line(&String::from_utf8_lossy(&line), events);
                }
                _ if self.line.len() == LINE_BYTES_MAX => {
                    return Err(Unmet::new(format!(
                        "event stream lines of at most {LINE_BYTES_MAX} bytes"
                    )));
                }
                _ => self.line.push(*byte),
            }
        }
        Ok(())
    }

    fn take_line(&mut self, line: &str, events: &mut VecDeque<Event>) {
        let line = if self.started {
            line
        } else {
            line.trim_start_matches('\u{feff}')
        };
        self.started = true;
        if line.is_empty() {
            self.dispatch(events);
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // A comment has an empty field name; `retry` is of no use to a bounded wait.
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut VecDeque<Event>) {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        if data.is_empty() {
            return;
        }
        data.pop();
        let name = if name.is_empty() {
            "message".to_owned()
        } else {
            name
        };
        events.push_back(Event {
            name,
            id: self.id.clone(),
            data,
        });
    }
}

/// An open stream of events. When the server ends it, it is opened again, as a browser does.
pub(crate) struct Stream<'a> {
    api: &'a Api,
    path: String,
    token: &'a str,
    response: Response,
    parser: Parser,
    events: VecDeque<Event>,
    last_id: Option<String>,
}

impl<'a> Stream<'a> {
    pub(crate) async fn open(api: &'a Api, path: String, token: &'a str) -> Result<Self, Unmet> {
        let response = connect(api, &path, token, None).await?;
        Ok(Self {
            api,
            path,
            token,
            response,
            parser: Parser::default(),
            events: VecDeque::new(),
            last_id: None,
        })
    }

    /// The next event, at the latest after `limit`.
    pub(crate) async fn next(&mut self, limit: Duration, expectation: &str) -> Result<Event, Unmet> {
        let begin = Instant::now();
        loop {
            if let Some(event) = self.events.pop_front() {
                self.last_id = event.id.clone().or_else(|| self.last_id.take());
                return Ok(event);
            }
            let left = limit.saturating_sub(begin.elapsed());
            let piece = tokio::time::timeout(left, self.response.chunk())
                .await
                .map_err(|_| {
                    Unmet::new(format!(
                        "{expectation} on the event stream {} within {limit:?}",
                        self.path
                    ))
                })?;
            if let Ok(Some(bytes)) = piece {
                self.parser.push(&bytes, &mut self.events)?;
            } else {
                tokio::time::sleep(RECONNECT_PAUSE).await;
                self.response = connect(self.api, &self.path, self.token, self.last_id.as_deref()).await?;
                self.parser = Parser::default();
            }
        }
    }
}

async fn connect(api: &Api, path: &str, token: &str, last_id: Option<&str>) -> Result<Response, Unmet> {
    let mut request = api.get(path).token(token).header("accept", "text/event-stream");
    if let Some(id) = last_id {
        request = request.header("last-event-id", id);
    }
    request.open().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<Event> {
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        for piece in pieces {
            parser.push(piece, &mut events).unwrap();
        }
        events.into()
    }

    fn event(name: &str, id: Option<&str>, data: &str) -> Event {
        Event {
            name: name.to_owned(),
            id: id.map(str::to_owned),
            data: data.to_owned(),
        }
    }

    #[test]
    fn events_come_whole_however_the_stream_was_cut() {
        let text = "\u{feff}: hello\n\nevent: order\nid: 3\ndata: {\"status\":\"CONFIRMED ✓\"}\n\nevent: order\r\nid: 4\r\ndata: a\r\ndata:b\r\n\r\n".as_bytes();
        let expected = [
            event("order", Some("3"), "{\"status\":\"CONFIRMED ✓\"}"),
            event("order", Some("4"), "a\nb"),
        ];
        for size in 1..=text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(parse(&pieces), expected, "pieces of {size}");
        }
    }

    #[test]
    fn names_default_ids_stay_and_an_unfinished_event_is_not_one() {
        let events =
            parse(&[b"id: 7\ndata: one\n\ndata: two\n\nretry: 100\nevent: lost\n\ndata: unfinished\n"]);
        assert_eq!(
            events,
            [
                event("message", Some("7"), "one"),
                event("message", Some("7"), "two")
            ]
        );
    }

    #[test]
    fn carriage_returns_alone_end_lines() {
        assert_eq!(
            parse(&[b"data: x\r\rdata\r\r"]),
            [event("message", None, "x"), event("message", None, "")]
        );
    }

    #[tokio::test]
    async fn a_stream_that_ends_is_opened_again_where_it_stopped() {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        let answers = [
            format!("{head}id: 3\ndata: one\n\n"),
            format!("{head}id: 4\ndata: two\n\n"),
        ];
        let (url, server) = crate::canned::serve(&answers).await;
        let limit = Duration::from_secs(5);
        let api = Api::new(&url, limit).unwrap();
        let client = async {
            let mut stream = Stream::open(&api, "/v1/orders/1/events".to_owned(), "a-token")
                .await
                .unwrap();
            [
                stream.next(limit, "one").await.unwrap().data,
                stream.next(limit, "two").await.unwrap().data,
            ]
        };
        let (requests, data) = futures::future::join(server, client).await;
        assert_eq!(data, ["one", "two"]);
        assert!(!requests[0].contains("last-event-id"), "{}", requests[0]);
        assert!(requests[1].contains("last-event-id: 3"), "{}", requests[1]);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_stream_is_shown() {
        let answer = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\nno such order".to_owned();
        let (url, server) = crate::canned::serve(&[answer]).await;
        let api = Api::new(&url, Duration::from_secs(5)).unwrap();
        let client = Stream::open(&api, "/v1/orders/1/events".to_owned(), "a-token");
        let (_, opened) = futures::future::join(server, client).await;
        let shown = opened.err().unwrap().to_string();
        assert!(
            shown.contains("answered 404") && shown.contains("no such order"),
            "{shown}"
        );
    }

    #[test]
    fn an_endless_line_is_refused() {
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        assert!(parser.push(&vec![b'x'; LINE_BYTES_MAX + 1], &mut events).is_err());
    }
}
