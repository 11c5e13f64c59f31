//! Indexes on this machine's disk.

use ferrocart_test_kit::eventually;

use crate::goods;
use crate::support::{Shop, product};

#[tokio::test]
async fn a_restart_goes_on_and_an_emptied_folder_replays() {
    let mut shop = Shop::open().await;
    let goods = goods::list(&shop).await;
    let count = u64::try_from(goods.len()).unwrap();
    let before = shop
        .search("sort=price_asc&limit=100&facets=category,brand")
        .await;
    let index_id = shop.status().await["index_id"].clone();

    shop.stop().await;
    // Published while it is away.
    shop.list(&product("Latecomer")).await;
    shop.start().await;
    assert_eq!(shop.status().await["index_id"], index_id);
    assert!(
        shop.search("").await["total"].as_u64().unwrap() >= count,
        "the index was lost"
    );
    shop.until("q=latecomer", 1).await;
    // What was known before the restart is still known by version.
    let first = goods[0].event.clone();
    shop.stock(&first.variants[0].sku_id, 77, 1).await;
    shop.settled().await;
    let stocked = goods.iter().filter(|good| good.in_stock).count();
    assert_eq!(shop.search("in_stock=true").await["total"], stocked);

    shop.stop().await;
    for entry in std::fs::read_dir(shop.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    shop.start().await;
    assert_ne!(shop.status().await["index_id"], index_id);
    shop.until("", count + 1).await;
    let late = shop.search("q=latecomer").await["items"][0]["product_id"].clone();
    eventually("the replayed index to equal the first", || async {
        let mut after = shop
            .search("sort=price_asc&limit=100&facets=category,brand")
            .await;
        let items = after["items"].as_array_mut().unwrap();
        items.retain(|item| item["product_id"] != late);
        (after["items"] == before["items"]).then_some(())
    })
    .await;

    // What a rebuild that was interrupted left behind goes with the next start.
    shop.stop().await;
    let left = shop.folder.path().join("v2-interrupted");
    std::fs::create_dir(&left).unwrap();
    shop.start().await;
    assert!(!left.exists());
    assert_eq!(shop.search("").await["total"], count + 1);
}
