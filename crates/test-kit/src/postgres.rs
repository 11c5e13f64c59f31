use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use ferrocart_config::SecretString;
use ferrocart_pg_kit::PgSettings;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::env::admin_url;
use crate::redis::{free_port, signal, try_signal};
use crate::wait::eventually;

/// A PostgreSQL server of the test's own, to be paused, stopped and started again.
#[derive(Debug)]
pub struct PostgresServer {
    folder: TempDir,
    bin: PathBuf,
    /// Who owns the cluster: root may not.
    owner: (u32, u32),
    port: u16,
    process: Option<Child>,
}

impl PostgresServer {
    /// Of the version and under the user of the server that the tests share.
    pub async fn start() -> Self {
        let mut admin = PgConnection::connect(&admin_url())
            .await
            .expect("the test PostgreSQL");
        let (bin, data): (String, String) = sqlx::query_as(
            "SELECT setting, current_setting('data_directory') FROM pg_config WHERE name = 'BINDIR'",
        )
        .fetch_one(&mut admin)
        .await
        .expect("where PostgreSQL is installed");
        let data = std::fs::metadata(data).expect("the shared server runs on this machine");
        let mut server = Self {
            folder: tempfile::tempdir().expect("a folder"),
            bin: bin.into(),
            owner: (data.uid(), data.gid()),
            port: free_port(),
            process: None,
        };
        chown(server.folder.path(), Some(server.owner.0), Some(server.owner.1)).expect("an owner");
        let made = server
            .command("initdb")
            .args(["--username", "postgres", "--auth", "trust", "--no-sync"])
            .arg("--pgdata")
            .arg(server.folder.path().join("data"))
            .output()
            .expect("initdb");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.restart().await;
        server
    }

    pub fn settings(&self) -> PgSettings {
        PgSettings {
            database_url: SecretString::from(self.url()),
            database_pool_max: 10,
            database_acquire_timeout_ms: 5_000,
            database_statement_timeout_ms: 10_000,
        }
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it on the port and with the data that it had.
    pub async fn restart(&mut self) {
        self.crash();
        let child = self
            .command("postgres")
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-p", &self.port.to_string()])
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .spawn()
            .expect("postgres");
        self.process = Some(child);
        eventually("PostgreSQL to answer", || async {
            PgConnection::connect(&self.url()).await.ok()
        })
        .await;
    }

    /// Ends it at once, as a crash does: what was not committed is lost, and nothing else.
    pub fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            signal(process.id(), "-CONT");
            signal(process.id(), "-QUIT");
            process.wait().expect("its end");
        }
    }

    /// It keeps its connections and answers nothing.
    pub fn pause(&self) {
        self.signal_all("-STOP");
    }

    pub fn resume(&self) {
        self.signal_all("-CONT");
    }

    /// The server first: once it stands still there are no more children.
    fn signal_all(&self, name: &str) {
        let server = self.process.as_ref().expect("a running server").id();
        signal(server, name);
        for child in children(server) {
            // One that has just ended needs none.
            try_signal(child, name);
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .uid(self.owner.0)
            .gid(self.owner.1)
            .env("LC_ALL", "C")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.resume();
        }
        self.crash();
    }
}

fn children(of: u32) -> Vec<u32> {
    let listed = Command::new("pgrep")
        .args(["-P", &of.to_string()])
        .output()
        .expect("pgrep");
    String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect()
}
