//! Many who watch their orders while nothing happens.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferrocart_stack::Service;
use ferrocart_types::{IdGen as _, SystemIds};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Bench, STREAMS_KIB};
use crate::memory;
use crate::report::{Aim, Figure};

/// As many as one customer may have open.
const OF_ONE: usize = 20;
/// The first event of each has come long before.
const QUIET: Duration = Duration::from_secs(2);

/// What the gateway has in memory while they are open.
pub(super) async fn measure(bench: &Bench) -> Result<(Figure, Vec<String>)> {
    let pid = bench.stack.process(Service::Gateway).pid();
    let pid = pid
        .and_then(|pid| u32::try_from(pid).ok())
        .context("the gateway's process")?;
    let before = memory::resident_kib(pid).unwrap_or(0);
    let count = bench.options.streams;
    let mut open = Vec::with_capacity(count);
    while open.len() < count {
        let token = bench.guest().await?;
        for _ in 0..OF_ONE.min(count - open.len()) {
            open.push(watch(bench, &token).await?);
        }
    }
    tokio::time::sleep(QUIET).await;
    let with = memory::resident_kib(pid).unwrap_or(0);
    eprintln!(
        "    {count} idle streams: {} MiB, {} MiB before",
        with / 1024,
        before / 1024
    );
    let figure = Figure::new(
        &format!("the gateway's memory with {count} idle streams"),
        " KiB",
        vec![with],
    )
    .against("100 MiB", &[STREAMS_KIB], Some(Aim::AtMost(1_000)));
    let note = format!("gateway: {before} KiB of that were there before the streams");
    Ok((figure, vec![note]))
}

/// One stream, whose first event has come.
async fn watch(bench: &Bench, token: &str) -> Result<TcpStream> {
    let order = SystemIds.next();
    let mut stream = TcpStream::connect(bench.gateway()).await.context("connect")?;
    let request = format!(
        "GET /v1/orders/{order}/events HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\
         accept: text/event-stream\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .context("ask for a stream")?;
    let mut received = Vec::new();
    let mut chunk = [0; 2_048];
    while !received.windows(6).any(|part| part == b"data: ") {
        let read = stream.read(&mut chunk).await.context("read a stream")?;
        ensure!(read > 0, "no stream: {}", String::from_utf8_lossy(&received));
        received.extend(chunk.iter().take(read));
        ensure!(
            received.starts_with(b"HTTP/1.1 200"),
            "no stream: {}",
            String::from_utf8_lossy(&received)
        );
    }
    Ok(stream)
}
