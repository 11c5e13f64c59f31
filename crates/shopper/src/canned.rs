//! A server for tests that answers one connection after the other with what it was given.

use std::future::Future;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Its address, and the work of serving, which ends with the head of each request.
pub(crate) async fn serve(answers: &[String]) -> (String, impl Future<Output = Vec<String>> + use<>) {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("bind a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound address"));
    let answers = answers.to_vec();
    let work = async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut connection, _) = listener.accept().await.expect("accept a connection");
            let mut request = Vec::new();
            while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                let read = connection.read_buf(&mut request).await.expect("read a request");
                assert!(read > 0, "the client hung up");
            }
            connection
                .write_all(answer.as_bytes())
                .await
                .expect("write the answer");
            connection.shutdown().await.expect("end the answer");
            requests.push(String::from_utf8_lossy(&request).to_lowercase());
        }
        requests
    };
    (url, work)
}
