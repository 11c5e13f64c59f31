//! Two private Redis servers. One holds what can be made anew (caches, limits, counters) and writes no file. The other one
//! is the store of record of the carts, so it writes an append-only file. Neither evicts anything.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::component::Component;
use crate::layout::Layout;
use crate::process::Launch;
use crate::tools;

const COMMON: &str = "\
bind 127.0.0.1
protected-mode yes
daemonize no
save \"\"
maxmemory-policy noeviction
tcp-backlog 511
";

const CACHE: &str = "\
appendonly no
maxmemory 512mb
";

/// `appendfsync always`: an acknowledged cart survives the loss of power too, as every other store of record
/// here does. With 50 and with 256 clients it was as fast as `everysec` (84,000 and 100,000 writes a second on
/// two cores); a lone client waits 0.2 ms longer in the median.
const CARTS: &str = "\
appendonly yes
appendfsync always
maxmemory 1gb
";

pub(crate) fn launch(layout: &Layout, component: Component, port: u16, password: &str) -> Result<Launch> {
    let (folder, own) = match component {
        Component::RedisCart => (layout.redis_cart(), CARTS),
        _ => (layout.redis(), CACHE),
    };
    let settings = format!(
        "{COMMON}{own}port {port}\nrequirepass {password}\ndir \"{}\"\n",
        folder.display()
    );
    let file = folder.join("redis.conf");
    Ok(Launch {
        component,
        program: tools::redis_server()?,
        args: vec![file.display().to_string()],
        env: BTreeMap::new(),
        cwd: folder,
        run_as: None,
        files: vec![(file, settings)],
        log: layout.log(component),
        port,
    })
}

pub(crate) fn url(port: u16, password: &str) -> String {
    format!("redis://:{password}@127.0.0.1:{port}/")
}

/// Answers once the server has read its file and takes commands.
pub(crate) async fn ping(port: u16, password: &str) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .context("connect to Redis")?;
    stream
        .write_all(format!("AUTH {password}\r\nPING\r\n").as_bytes())
        .await
        .context("write to Redis")?;
    let mut answer = Vec::new();
    let mut buffer = [0_u8; 256];
    // While it loads it answers `-LOADING …`.
    while !answer.ends_with(b"+PONG\r\n") {
        let read = stream.read(&mut buffer).await.context("read from Redis")?;
        answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if read == 0 || answer.starts_with(b"-") || answer.len() > 1024 {
            bail!("Redis answers {}", String::from_utf8_lossy(&answer).trim());
        }
    }
    Ok(())
}
