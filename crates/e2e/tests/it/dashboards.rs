//! The dashboards' queries and the alerts' expressions, asked of a real Prometheus.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use ferrocart_stack::{Service, Stack};

/// Of a platform that has sold something. Skipped, and said so, where there is no Prometheus.
pub(crate) async fn every_query_is_answered(stack: &Stack) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Some(prometheus) = prometheus(&root) else {
        skipped("no Prometheus: run `make setup`");
        return;
    };
    let targets = Service::ALL.map(|service| format!("{service}=127.0.0.1:{}", stack.port(service)));
    let output = tokio::process::Command::new("python3")
        .arg(root.join("deploy/check/dashboards.py"))
        .arg(prometheus)
        .args(targets)
        .env("PYTHONPATH", root.join(".ferrocart/deploy-python"))
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("ModuleNotFoundError") {
        skipped("Python 3.11 and PyYAML are needed");
        return;
    }
    assert!(output.status.success(), "{said}");
}

fn prometheus(root: &Path) -> Option<PathBuf> {
    let installed = [
        root.join(".ferrocart/prometheus/usr/bin/prometheus"),
        "/usr/bin/prometheus".into(),
        "/usr/local/bin/prometheus".into(),
    ];
    installed.into_iter().find(|path| path.exists())
}

/// Past the capture of what tests print.
fn skipped(why: &str) {
    writeln!(std::io::stderr(), "\nSKIPPED: the dashboards' queries: {why}\n").ok();
}
