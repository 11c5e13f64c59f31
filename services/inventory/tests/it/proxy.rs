use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Stands between a lane and PostgreSQL, and can lose one answer: the work is done, and nobody hears.
pub(crate) struct Proxy {
    pub(crate) options: PgConnectOptions,
    armed: Arc<Mutex<Option<&'static [u8]>>>,
    lost: Arc<AtomicUsize>,
    cut: watch::Sender<()>,
}

impl Proxy {
    pub(crate) async fn before(options: &PgConnectOptions) -> Self {
        let target = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let armed = Arc::new(Mutex::new(None));
        let lost = Arc::new(AtomicUsize::new(0));
        let (trigger, count) = (Arc::clone(&armed), Arc::clone(&lost));
        let (cut, is_cut) = watch::channel(());
        ferrocart_telemetry::spawn("proxy", async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(target.clone()).await.expect("PostgreSQL");
                let (trigger, count) = (Arc::clone(&trigger), Arc::clone(&count));
                let mut is_cut = is_cut.clone();
                is_cut.mark_unchanged();
                ferrocart_telemetry::spawn("proxied", async move {
                    tokio::select! {
                        () = pass(client, server, trigger, count) => {}
                        _ = is_cut.changed() => {}
                    }
                });
            }
        });
        Self {
            options: options.clone().host("127.0.0.1").port(port),
            armed,
            lost,
            cut,
        }
    }

    /// The next answer in which this stands is lost, and the connection with it.
    pub(crate) fn lose_answer(&self, sign: &'static [u8]) {
        *self.armed.lock().expect("the trigger") = Some(sign);
    }

    /// Ends the connections there are; new ones pass.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(());
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

async fn pass(
    client: TcpStream,
    server: TcpStream,
    armed: Arc<Mutex<Option<&'static [u8]>>>,
    lost: Arc<AtomicUsize>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        tokio::io::copy(&mut from_client, &mut to_server).await.ok();
    };
    let down = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count) = from_server.read(&mut buffer).await {
            let answer = &buffer[..count];
            if count == 0 {
                break;
            }
            let hit = {
                let mut armed = armed.lock().expect("the trigger");
                let hit = armed.is_some_and(|sign| answer.windows(sign.len()).any(|part| part == sign));
                if hit {
                    *armed = None;
                }
                hit
            };
            if hit {
                lost.fetch_add(1, Ordering::SeqCst);
                break;
            }
            if to_client.write_all(answer).await.is_err() {
                break;
            }
        }
    };
    // Whichever side ends first takes the other with it.
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
