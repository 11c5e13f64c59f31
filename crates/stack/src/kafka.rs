//! One Apache Kafka node (KRaft: broker and controller in one process), run from the jars that
//! `deploy/local/setup.sh` fetched.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::component::Component;
use crate::layout::{Layout, write_private};
use crate::ports::PortPlan;
use crate::process::Launch;
use crate::tools;

const FORMAT_DEADLINE: Duration = Duration::from_mins(1);

/// A small node: internal topics with few partitions, a cleaner that fits the heap. Topics are created by the
/// services with their final partition counts, never by a stray message.
const TEMPLATE: &str = "\
process.roles=broker,controller
node.id=1
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
";

const LOGGING: &str = "\
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c{1} %m%n
# Hundreds of lines of settings at each start.
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = warn
";

#[derive(Clone, Debug)]
pub(crate) struct Node {
    folder: PathBuf,
    java: PathBuf,
    libs: PathBuf,
    settings: String,
}

impl Node {
    pub(crate) fn locate(layout: &Layout, ports: &PortPlan) -> Result<Self> {
        let folder = layout.kafka();
        let broker = ports.port(Component::Kafka);
        let controller = ports.kafka_controller();
        let settings = format!(
            "{TEMPLATE}\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=BROKER://127.0.0.1:{broker}\n\
             log.dirs={}\n",
            folder.join("data").display()
        );
        Ok(Self {
            folder,
            java: tools::java()?,
            libs: tools::kafka_libs()?,
            settings,
        })
    }

    fn settings_file(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    fn logging_file(&self) -> PathBuf {
        self.folder.join("log4j2.properties")
    }

    /// Written when the storage tool is done, so that storage which is half formatted is formatted again.
    fn formatted_marker(&self) -> PathBuf {
        self.folder.join("formatted")
    }

    pub(crate) fn is_formatted(&self) -> bool {
        self.formatted_marker().exists()
    }

    pub(crate) async fn format(&self, cluster_id: &str) -> Result<()> {
        for (path, content) in self.files() {
            write_private(&path, &content)?;
        }
        let data = self.folder.join("data");
        if let Err(error) = fs::remove_dir_all(&data)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("remove {}", data.display()));
        }
        let mut command = tokio::process::Command::new(&self.java);
        command
            // A tool that lives two seconds gains nothing from the optimizing compiler.
            .args(["-Xmx128m", "-XX:TieredStopAtLevel=1"])
            .args(self.class_path())
            .args([
                "kafka.tools.StorageTool",
                "format",
                "--cluster-id",
                cluster_id,
                "--config",
            ])
            .arg(self.settings_file())
            .env_clear()
            .envs(environment())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(FORMAT_DEADLINE, command.output())
            .await
            .context("formatting Kafka's storage took longer than a minute")?
            .context("run Kafka's storage tool")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("formatting Kafka's storage failed: {}", said.trim());
        }
        write_private(&self.formatted_marker(), cluster_id)
    }

    fn class_path(&self) -> Vec<String> {
        vec![
            format!("-Dlog4j2.configurationFile={}", self.logging_file().display()),
            "-cp".to_owned(),
            format!("{}/*", self.libs.display()),
        ]
    }

    fn files(&self) -> Vec<(PathBuf, String)> {
        vec![
            (self.settings_file(), self.settings.clone()),
            (self.logging_file(), LOGGING.to_owned()),
        ]
    }

    pub(crate) fn launch(&self, layout: &Layout, port: u16) -> Launch {
        let mut args: Vec<String> = [
            "-Xms128m",
            "-XX:TieredStopAtLevel=1",
            "-Xmx512m",
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(self.class_path());
        args.extend([
            "kafka.Kafka".to_owned(),
            self.settings_file().display().to_string(),
        ]);
        Launch {
            component: Component::Kafka,
            program: self.java.clone(),
            args,
            env: environment(),
            cwd: self.folder.clone(),
            run_as: None,
            files: self.files(),
            log: layout.log(Component::Kafka),
            port,
        }
    }
}

fn environment() -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([("LC_ALL".to_owned(), "C".to_owned())]);
    for name in ["PATH", "HOME", "JAVA_HOME"] {
        if let Some(value) = std::env::var_os(name) {
            environment.insert(name.to_owned(), value.to_string_lossy().into_owned());
        }
    }
    environment
}

/// Answers once the broker takes requests and counts itself among the living: until then clients that create
/// topics are refused. Asks for metadata without topics (request version 4, the plainest that all 4.x speak).
pub(crate) async fn ping(port: u16) -> Result<()> {
    const REQUEST: [u8; 19] = [
        0, 0, 0, 15, // bytes that follow
        0, 3, 0, 4, // Metadata, version 4
        0, 0, 0, 1, // correlation id
        0xff, 0xff, // no client id
        0, 0, 0, 0, // no topics
        0, // create none
    ];
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .context("connect to Kafka")?;
    stream.write_all(&REQUEST).await.context("write to Kafka")?;
    let length = stream.read_i32().await.context("read from Kafka")?;
    let correlation = stream.read_i32().await.context("read from Kafka")?;
    ensure!(
        length >= 12 && correlation == 1,
        "port {port} does not speak Kafka's protocol"
    );
    let _throttle_ms = stream.read_i32().await.context("read from Kafka")?;
    let brokers = stream.read_i32().await.context("read from Kafka")?;
    ensure!(brokers >= 1, "Kafka's broker has not joined yet");
    Ok(())
}
