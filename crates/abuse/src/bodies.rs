use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::report::Report;
use crate::world::{Answer, With, World};

const MIB: usize = 1024 * 1024;
/// Longer than any deadline of the gateway's for a request that has arrived.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Every call that takes JSON.
const TAKERS: [(&str, &str); 9] = [
    ("POST", "/v1/users"),
    ("POST", "/v1/auth/token"),
    ("POST", "/v1/auth/refresh"),
    ("POST", "/v1/cart/items"),
    ("POST", "/v1/cart/merge"),
    ("POST", "/v1/checkout"),
    ("POST", "/v1/holds"),
    ("PATCH", "/v1/users/{user_id}"),
    ("POST", "/v1/payments/webhook"),
];

pub(crate) async fn run(world: &World, report: &mut Report) -> Result<()> {
    let before = memory_mib(world)?;
    let large = vec![b' '; 10 * MIB];
    let deep = format!("{{\"sku_id\":{}", "[".repeat(100_000));
    let deep_objects = "{\"a\":".repeat(40_000);
    let mut bomb_like = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    bomb_like.extend(gzip_of_zeros());
    for (method, path) in TAKERS {
        let path = path.replace("{user_id}", &world.victim.id);
        let call = (method, path.as_str());
        let answer = send(world, call, &large, &[]).await?;
        report.check(
            &format!("10 MB to {path}"),
            is(answer.as_ref(), &[413, 400, 404]),
            said(answer.as_ref()),
        );
        for (what, body) in [
            ("100,000 brackets", deep.as_bytes()),
            ("40,000 objects", deep_objects.as_bytes()),
            (
                "bad UTF-8",
                b"{\"sku_id\":\"\xff\xfe\xc0\xaf\",\"email\":\"\xed\xa0\x80\"}".as_slice(),
            ),
            ("a NUL", b"{\"sku_id\":\"\0\"}".as_slice()),
            ("nothing", b"".as_slice()),
            ("half a body", b"{\"sku_id\":".as_slice()),
            ("a number", b"1".as_slice()),
            ("null", b"null".as_slice()),
        ] {
            let answer = send(world, call, body, &[]).await?;
            report.check(
                &format!("{what} to {path}"),
                is(answer.as_ref(), &[400, 413, 404]),
                said(answer.as_ref()),
            );
        }
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            let answer = send(world, call, &bomb_like, &[("content-encoding", encoding)]).await?;
            report.check(
                &format!("a {encoding} bomb to {path}"),
                is(answer.as_ref(), &[400, 413, 415, 404]),
                said(answer.as_ref()),
            );
        }
        let answer = send(world, call, b"{}", &[("content-type", "text/xml")]).await?;
        report.check(
            &format!("XML to {path}"),
            is(answer.as_ref(), &[400, 415]),
            said(answer.as_ref()),
        );
    }
    raw(world, report).await?;
    let grown = memory_mib(world)?.saturating_sub(before);
    report.check(
        "large bodies cost little memory",
        grown < 64,
        format!("{grown} MiB"),
    );
    report.note(format!(
        "10 MB and packed bodies: the gateway grew by {grown} MiB"
    ));
    Ok(())
}

async fn send(
    world: &World,
    call: (&str, &str),
    body: &[u8],
    headers: &[(&str, &str)],
) -> Result<Option<Answer>> {
    let with = With {
        token: (!call.1.starts_with("/v1/auth/")).then_some(&world.victim.token),
        body: Some(body),
        headers,
    };
    // Each from an address of its own, so that the limits are not what refuses it.
    let spread = u8::try_from(body.len() % 200).unwrap_or_default();
    let http = crate::world::client([10, spread + 1])?;
    // A connection that is closed while one still writes is an answer too.
    Ok(crate::world::call(&http, &world.gateway, call, with).await.ok())
}

fn is(answer: Option<&Answer>, wanted: &[u16]) -> bool {
    answer.is_none_or(|answer| wanted.contains(&answer.status) && answer.text.contains("\"code\""))
}

fn said(answer: Option<&Answer>) -> String {
    answer.map_or_else(|| "closed".to_owned(), Answer::said)
}

/// 64 MiB of zeros in 64 KiB, as one stored-by-repetition deflate stream. Whether it is well formed does not matter:
/// nothing may try to unpack it.
fn gzip_of_zeros() -> Vec<u8> {
    let mut packed = vec![
        0xec, 0xc1, 0x01, 0x01, 0x00, 0x00, 0x00, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a,
    ];
    packed.extend(vec![0; 64 * 1024]);
    packed
}

/// What no HTTP library would send.
#[expect(clippy::too_many_lines, reason = "most of it is a table")]
async fn raw(world: &World, report: &mut Report) -> Result<()> {
    let long_uri = format!(
        "GET /v1/products?x={} HTTP/1.1\r\nhost: x\r\n\r\n",
        "a".repeat(200_000)
    );
    let many = (0..2_000).fold(String::new(), |all, n| format!("{all}x-{n}: y\r\n"));
    let many = format!("GET /v1/products HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    let large = format!(
        "GET /v1/products HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "a".repeat(1024 * 1024)
    );
    let smuggled = "POST /v1/auth/guest HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/admin/sagas HTTP/1.1\r\nhost: x\r\n\r\n";
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("2,000 header fields", many.into_bytes()),
        ("a field of 1 MB", large.into_bytes()),
        ("a URL of 200 KB", long_uri.into_bytes()),
        (
            "two lengths",
            b"POST /v1/users HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"
                .to_vec(),
        ),
        (
            "a negative length",
            b"POST /v1/users HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_vec(),
        ),
        ("length and chunks", smuggled.as_bytes().to_vec()),
        (
            "a chunk without a size",
            b"POST /v1/users HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        ),
        (
            "bytes in the path",
            b"GET /v1/\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        ),
        (
            "bytes in a field",
            b"GET /v1/products HTTP/1.1\r\nhost: x\r\nx-request-id: \xff\xfe\r\nauthorization: \xff\r\n\r\n"
                .to_vec(),
        ),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00".to_vec()),
        (
            "a line break in a field",
            b"GET /v1/products HTTP/1.1\r\nhost: x\r\nx: a\n b\r\n\r\n".to_vec(),
        ),
        (
            "an absolute address",
            b"GET http://169.254.169.254/latest HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        ),
        (
            "CONNECT",
            b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        ),
        (
            "TRACE",
            b"TRACE /v1/products HTTP/1.1\r\nhost: x\r\nauthorization: planted\r\n\r\n".to_vec(),
        ),
    ];
    for (what, bytes) in cases {
        let text = exchange(world.port, &bytes).await?;
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse::<u16>().ok());
        let held = match status {
            // Cut off, which is an answer too; or kept waiting for the rest until the deadline.
            None => true,
            Some(status) => status < 500 && !text.contains("SQLSTATE") && !text.contains("panicked"),
        };
        let shown: String = text.chars().take(120).collect();
        report.check(what, held, &shown);
        if what == "length and chunks" {
            report.check(
                "a request within a request",
                text.matches("HTTP/1.1 ").count() <= 1 || !text.contains("\"saga"),
                shown,
            );
        }
    }
    let answer = world.send(("GET", "/health/live"), With::default()).await?;
    report.check("the gateway lives", answer.status == 200, answer.said());
    Ok(())
}

/// What comes back until the other side closes or says nothing for a second.
async fn exchange(port: u16, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.context("connect")?;
    // The other side may have had enough before all is written.
    let _written = tokio::time::timeout(ANSWER_WITHIN, stream.write_all(bytes)).await;
    let mut seen = Vec::new();
    let mut part = [0_u8; 8192];
    while seen.len() < MIB {
        match tokio::time::timeout(Duration::from_secs(1), stream.read(&mut part)).await {
            Ok(Ok(count)) if count > 0 => seen.extend_from_slice(part.get(..count).unwrap_or_default()),
            _ => break,
        }
    }
    Ok(String::from_utf8_lossy(&seen).into_owned())
}

/// The gateway's largest resident size so far.
fn memory_mib(world: &World) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.gateway_pid))?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .context("VmHWM")?;
    let kib: u64 = line.split_whitespace().nth(1).context("VmHWM")?.parse()?;
    Ok(kib / 1024)
}
