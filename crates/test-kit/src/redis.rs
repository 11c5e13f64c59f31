use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use ferrocart_redis_kit::RedisSettings;
use ferrocart_redis_kit::deadpool_redis::redis;
use tempfile::TempDir;

use crate::wait::eventually;

/// A Redis server of the test's own, to be killed, paused and started again.
#[derive(Debug)]
pub struct RedisServer {
    folder: TempDir,
    port: u16,
    kind: Kind,
    process: Option<Child>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cache,
    Record,
    ClusterNode,
}

impl RedisServer {
    /// It keeps nothing on disk.
    pub async fn start() -> Self {
        Self::launch(Kind::Cache).await
    }

    /// It keeps its data as a store of record does: appended and synced before it answers.
    pub async fn start_durable() -> Self {
        Self::launch(Kind::Record).await
    }

    async fn launch(kind: Kind) -> Self {
        let mut server = Self {
            folder: tempfile::tempdir().expect("a folder"),
            port: free_port(),
            kind,
            process: None,
        };
        server.restart().await;
        server
    }

    pub fn settings(&self, timeout_ms: u64) -> RedisSettings {
        RedisSettings {
            redis_url: self.url(),
            redis_pool_max: 8,
            redis_timeout_ms: timeout_ms,
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Starts it on the port that it had, with the data that it keeps.
    pub async fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("redis-server");
        command
            .current_dir(self.folder.path())
            .args(["--port", &self.port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", ""])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match self.kind {
            Kind::Cache => &mut command,
            Kind::Record => command
                .args(["--appendonly", "yes", "--appendfsync", "always"])
                .args(["--maxmemory-policy", "noeviction"]),
            Kind::ClusterNode => command
                .args(["--cluster-enabled", "yes"])
                .args(["--cluster-port", &free_port().to_string()]),
        };
        self.process = Some(command.spawn().expect("redis-server is installed"));
        eventually("Redis to answer", || async { self.ask("PING", &[]).await }).await;
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a process of this test");
            process.wait().expect("its end");
        }
    }

    /// It keeps its connections and answers nothing.
    pub fn pause(&self) {
        signal(self.id(), "-STOP");
    }

    pub fn resume(&self) {
        signal(self.id(), "-CONT");
    }

    fn id(&self) -> u32 {
        self.process.as_ref().expect("a running server").id()
    }

    /// Sends one command; what it answers, as text. None when it does not answer.
    pub async fn ask(&self, command: &str, arguments: &[&str]) -> Option<String> {
        let client = redis::Client::open(self.url()).ok()?;
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let answer: redis::Value = redis::cmd(command)
            .arg(arguments)
            .query_async(&mut connection)
            .await
            .ok()?;
        Some(format!("{answer:?}"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A Redis Cluster of three masters.
#[derive(Debug)]
pub struct RedisCluster {
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(RedisServer::launch(Kind::ClusterNode).await);
        }
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .arg("--cluster-yes")
            .output()
            .expect("redis-cli is installed");
        assert!(
            created.status.success(),
            "{}",
            String::from_utf8_lossy(&created.stdout)
        );
        for node in &nodes {
            eventually("the cluster to be whole", || async {
                let info = node.ask("CLUSTER", &["INFO"]).await?;
                (info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")).then_some(())
            })
            .await;
        }
        Self { nodes }
    }

    pub fn settings(&self, timeout_ms: u64) -> RedisSettings {
        let urls: Vec<String> = self.nodes.iter().map(RedisServer::url).collect();
        RedisSettings {
            redis_url: urls.join(","),
            redis_pool_max: 8,
            redis_timeout_ms: timeout_ms,
        }
    }
}

/// Free a moment ago; servers cannot tell which port they took of 0.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

pub(crate) fn signal(process: u32, signal: &str) {
    assert!(try_signal(process, signal), "{signal} was not sent");
}

/// `false` when there is no such process any more.
pub(crate) fn try_signal(process: u32, signal: &str) -> bool {
    let sent = Command::new("kill")
        .args([signal, &process.to_string()])
        .stderr(Stdio::null())
        .status()
        .expect("kill");
    sent.success()
}
