//! TLS and HTTP/2 at the gateway's own door.

use std::path::Path;

use ferrocart_gateway::Settings;
use ferrocart_test_kit::eventually;
use reqwest::{Certificate, Client, ClientBuilder, Version};
use serde_json::json;

use crate::world::World;

/// Makes a certificate for this machine; its PEM is what a client trusts.
fn certificate(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    made.cert.pem()
}

fn with_tls(folder: &Path) -> impl FnOnce(&mut Settings) {
    let folder = folder.to_owned();
    move |settings| {
        settings.tls.tls_cert_file = folder.join("tls.crt");
        settings.tls.tls_key_file = folder.join("tls.key");
        settings.tls.tls_port = 0;
    }
}

fn client(trusted: &str, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
    let trusted = Certificate::from_pem(trusted.as_bytes()).unwrap();
    change(Client::builder().no_proxy().tls_certs_only([trusted]))
        .build()
        .unwrap()
}

fn url(world: &World, path: &str) -> String {
    format!("https://localhost:{}{path}", world.tls_port.expect("TLS is on"))
}

#[tokio::test]
async fn clients_speak_http_2_or_what_they_know() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certificate(folder.path());
    let world = World::with(with_tls(folder.path())).await;
    let client_2 = client(&trusted, |builder| builder);
    let products = url(&world, "/v1/products?page=2");
    let calls = (0..50).map(|_| client_2.get(&products).send());
    for answer in futures::future::join_all(calls).await {
        let answer = answer.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2);
        assert_eq!(answer.status(), 202);
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=63072000");
        let seen: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(seen["query"], "page=2");
    }
    let client_1 = client(&trusted, ClientBuilder::http1_only);
    let answer = client_1.get(&products).send().await.unwrap();
    assert_eq!(
        (answer.version(), answer.status().as_u16()),
        (Version::HTTP_11, 202)
    );
    // A body in both ways, and the limits of bodies.
    let token = world.guest().await["access_token"].as_str().unwrap().to_owned();
    let line = json!({"sku_id": "x", "quantity": 1});
    let put = client_2
        .post(url(&world, "/v1/cart/items"))
        .bearer_auth(&token)
        .json(&line);
    let seen: serde_json::Value = put.send().await.unwrap().json().await.unwrap();
    assert_eq!(seen["body"], line.to_string());
    let long = client_2
        .post(url(&world, "/v1/cart/items"))
        .bearer_auth(&token)
        .body("x".repeat(300_000));
    let answer = long
        .header("content-type", "application/json")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 413);
    let plain = world.api.get("/v1/products").await.expect(202);
    assert!(!plain.headers.contains_key("strict-transport-security"));
}

#[tokio::test]
async fn what_is_not_trusted_or_too_old_is_not_spoken_with() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certificate(folder.path());
    let world = World::with(with_tls(folder.path())).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = certificate(elsewhere.path());
    assert!(
        client(&stranger, |builder| builder)
            .get(url(&world, "/v1/products"))
            .send()
            .await
            .is_err()
    );
    let address = url(&world, "/v1/products").replace("https", "http");
    let plain = client(&trusted, |builder| builder).get(address).send().await;
    assert!(plain.is_err(), "plain text at the port of TLS");
}

#[tokio::test]
async fn a_certificate_is_replaced_while_the_gateway_runs() {
    let folder = tempfile::tempdir().unwrap();
    let first = certificate(folder.path());
    let world = World::with(with_tls(folder.path())).await;
    let products = url(&world, "/v1/products");
    client(&first, |builder| builder)
        .get(&products)
        .send()
        .await
        .unwrap();
    // Half of a pair is not taken.
    std::fs::write(folder.path().join("tls.key"), "not yet whole").unwrap();
    let second = tempfile::tempdir().unwrap();
    let trusted = certificate(second.path());
    client(&first, |builder| builder)
        .get(&products)
        .send()
        .await
        .unwrap();
    for file in ["tls.key", "tls.crt"] {
        std::fs::copy(second.path().join(file), folder.path().join(file)).unwrap();
    }
    eventually("the new certificate", || async {
        client(&trusted, |builder| builder)
            .get(&products)
            .send()
            .await
            .ok()
    })
    .await;
    assert!(
        client(&first, |builder| builder)
            .get(&products)
            .send()
            .await
            .is_err()
    );
}
