//! Stands between the service and a store, and fails as told.

use std::net::SocketAddr;

use reqwest::Url;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Connections are closed, new ones too.
    Cut,
    /// Connections stay, and nothing goes through them.
    Paused,
}

pub(crate) struct Proxy {
    url: Url,
    fault: watch::Sender<Fault>,
}

impl Proxy {
    pub(crate) async fn to(url: &str) -> Self {
        let mut url: Url = url.parse().unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let target: SocketAddr = tokio::net::lookup_host(target).await.unwrap().next().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let (fault, watched) = watch::channel(Fault::None);
        ferrocart_telemetry::spawn("proxy", async move {
            // Ends with the test's runtime.
            while let Ok((client, _)) = listener.accept().await {
                ferrocart_telemetry::spawn("proxy-connection", forward(client, target, watched.clone()));
            }
        });
        Self { url, fault }
    }

    pub(crate) fn url(&self) -> String {
        self.url.to_string()
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr, mut fault: watch::Receiver<Fault>) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    loop {
        let now = *fault.borrow_and_update();
        match now {
            Fault::Cut => return,
            // Nobody is told of the pause; afterwards the connection is gone.
            Fault::Paused => {
                drop(fault.wait_for(|fault| *fault != Fault::Paused).await);
                return;
            }
            Fault::None => {}
        }
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
            changed = fault.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}
