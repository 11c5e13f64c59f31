//! The OpenSearch node that the suite runs against, one for all tests of a process.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;

/// A JVM starts slowly on a machine that does much else.
const START_DEADLINE: Duration = Duration::from_mins(3);
const START_POLL: Duration = Duration::from_millis(100);

/// It ends when its standard input does, so when this process does, however that ends.
struct Node {
    port: u16,
    _child: Child,
    _folder: TempDir,
}

static NODE: OnceLock<Node> = OnceLock::new();

/// The node's URL. Where there are no jars or no JDK, says so, and ends the whole run as skipped.
pub(crate) async fn url() -> String {
    let port = NODE.get_or_init(start).port;
    let deadline = Instant::now() + START_DEADLINE;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < deadline, "OpenSearch does not listen");
        tokio::time::sleep(START_POLL).await;
    }
    format!("http://127.0.0.1:{port}")
}

fn start() -> Node {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pom = std::fs::read_to_string(root.join("deploy/local/opensearch/pom.xml")).unwrap();
    let version = pom.split("<opensearch.version>").nth(1).unwrap();
    let version = version.split('<').next().unwrap();
    let jars: PathBuf = root.join(format!(".ferrocart/opensearch-{version}/libs"));
    if !jars.is_dir() {
        skip(&format!("{} is not there: run `make setup`", jars.display()));
    }
    if Command::new("javac").arg("-version").output().is_err() {
        skip("there is no JDK (javac)");
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::create_dir(&config).unwrap();
    std::fs::copy(
        root.join("deploy/local/opensearch/log4j2.properties"),
        config.join("log4j2.properties"),
    )
    .unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let child = Command::new("java")
        .args([
            "-Xms256m",
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ])
        .arg(format!("-Dopensearch.path.home={}", folder.path().display()))
        .arg("-cp")
        .arg(jars.join("*"))
        .arg(root.join("deploy/local/opensearch/OneNode.java"))
        .arg(folder.path())
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(folder.path().join("node.log")).unwrap())
        .spawn()
        .unwrap();
    Node {
        port,
        _child: child,
        _folder: folder,
    }
}

/// Past what the test harness captures, so that it is seen.
fn skip(why: &str) -> ! {
    let said = writeln!(std::io::stderr(), "\nSKIPPED: search against OpenSearch: {why}\n");
    said.unwrap();
    // The harness has no word for a run that cannot be made.
    let counted = writeln!(std::io::stdout(), "\n0 passed, 0 failed, 1 skipped");
    counted.unwrap();
    std::process::exit(0)
}
