//! Spans on their way to a collector. A process has one subscriber, so there is one test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use ferrocart_telemetry::{TelemetrySettings, TracePoint, exports_spans, init, set_parent};

const TRACE: [u8; 16] = [
    0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c,
];

/// Takes one request, and answers its body.
fn collect(listener: &TcpListener) -> Vec<u8> {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..read]);
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().trim().parse().unwrap();
        if request.len() >= end + 4 + length {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .unwrap();
            return request.split_off(end + 4);
        }
    }
}

fn holds(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_span_reaches_the_collector_within_its_callers_trace() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let collector = std::thread::spawn(move || collect(&listener));
    let settings = TelemetrySettings {
        log_level: "warn".to_owned(),
        otel_exporter_otlp_endpoint: format!("http://127.0.0.1:{port}/v1/traces"),
    };
    let guard = init("test", &settings).unwrap();
    assert!(exports_spans());
    let span = tracing::info_span!("a-span-to-find");
    set_parent(&span, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let child = span.in_scope(|| tracing::info_span!("its-child"));
    for span in [&span, &child] {
        let point = TracePoint::of(span).unwrap();
        assert_eq!(point.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert!(point.traceparent().ends_with("-01"), "sampled");
    }
    drop((child, span));
    drop(guard);
    let body = collector.join().unwrap();
    for part in [&TRACE[..], b"a-span-to-find", b"its-child"] {
        assert!(holds(&body, part), "{part:?} did not arrive");
    }
}
