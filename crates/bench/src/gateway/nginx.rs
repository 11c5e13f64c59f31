//! nginx before the same upstream, as it would be set up for that: kept connections, no log, no checks.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const START_DEADLINE: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(20);

pub(super) struct Nginx {
    child: Child,
    pub(super) address: SocketAddr,
}

/// `None` where there is none: `make bench` fetches it where it can.
pub(super) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([
            PathBuf::from("/usr/sbin"),
            PathBuf::from(".ferrocart/nginx/usr/sbin"),
        ])
        .map(|folder| folder.join("nginx"))
        .find(|program| program.exists())
}

impl Nginx {
    pub(super) async fn start(program: &Path, folder: &Path, upstream: SocketAddr) -> Result<Self> {
        let folder = folder.join("nginx");
        fs::create_dir_all(&folder).context("nginx's folder")?;
        // Free a moment ago: nginx itself cannot be asked which one it took.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .context("a free port")?
            .port();
        // As many workers as the gateway has, and as many kept connections as there are clients.
        let settings = format!(
            "worker_processes 2;\ndaemon off;\npid nginx.pid;\nerror_log error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\naccess_log off;\n\
             client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
             uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n\
             upstream product {{ server {upstream}; keepalive 64; }}\n\
             server {{\nlisten 127.0.0.1:{port};\nkeepalive_requests 100000000;\n\
             location / {{ proxy_pass http://product; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}\n\
             }}\n}}\n"
        );
        fs::write(folder.join("nginx.conf"), settings).context("nginx's settings")?;
        let child = Command::new(program)
            .arg("-p")
            .arg(&folder)
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("start nginx")?;
        let mut nginx = Self {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        };
        let began = Instant::now();
        while TcpStream::connect(nginx.address).await.is_err() {
            let ended = nginx.child.try_wait().context("look at nginx")?;
            ensure!(
                ended.is_none() && began.elapsed() < START_DEADLINE,
                "nginx does not start: {}",
                fs::read_to_string(folder.join("error.log")).unwrap_or_default()
            );
            tokio::time::sleep(START_POLL).await;
        }
        Ok(nginx)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its master ends its workers.
    pub(super) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).context("stop nginx")?;
        }
        self.child.wait().await.context("wait for nginx")?;
        Ok(())
    }
}
