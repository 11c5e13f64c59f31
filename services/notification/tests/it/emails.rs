//! What the e-mails say.

use ferrocart_contracts::v1::{OrderLine, OrderPaymentPending, OrderPlaced};

use crate::support::{
    Office, TRACE, cancelled, confirmed, delivered, fresh, next, order, partly_refunded, refunded, shipped,
};

#[tokio::test(flavor = "multi_thread")]
async fn each_step_that_concerns_the_buyer_leads_to_one_email() {
    let office = Office::open().await;
    let placed = order(fresh());
    let (sent, arrived) = (next(&placed), next(&next(&placed)));
    let (part, back) = (next(&arrived), next(&next(&arrived)));
    office
        .tell(&OrderPlaced {
            order: Some(placed.clone()),
        })
        .await;
    let pending = OrderPaymentPending {
        order: Some(placed.clone()),
        reservation_id: fresh().to_string(),
    };
    office.tell(&pending).await;
    office.tell(&confirmed(&placed)).await;
    office.tell(&shipped(&sent)).await;
    office.tell(&delivered(&arrived)).await;
    office.tell(&partly_refunded(&part)).await;
    office.tell(&refunded(&back)).await;
    let rows = office.settled(&placed.order_id, "SENT", 5).await;
    assert_eq!(office.files().len(), 5, "{:?}", office.files());

    let expected = [
        ("order_confirmed", "confirm", "Your order is confirmed"),
        ("order_shipped", "on its way", "FP-123-XYZ"),
        ("order_delivered", "deliver", "Your order was delivered"),
        ("order_refunded", "in part", "3.05 USD"),
        ("order_refunded", "was refunded (", "10.05 USD"),
    ];
    for (row, (kind, subject, words)) in rows.iter().zip(expected) {
        assert_eq!(row.kind, kind);
        let email = office.email(row);
        assert_eq!(email.header("to"), "ada.lovelace@buyers.test");
        assert_eq!(email.header("from"), "Ferrocart <shop@shop.test>");
        assert_eq!(
            email.header("message-id"),
            format!("<{}@shop.test>", row.notification_id)
        );
        assert_eq!(email.header("x-trace-id"), TRACE);
        assert!(
            email.header("subject").contains(subject),
            "{}",
            email.header("subject")
        );
        assert_eq!(
            *email.parts(),
            serde_json::json!(["multipart/alternative", "text/plain", "text/html"])
        );
        for body in [email.text(), email.html()] {
            for part in [
                words,
                &placed.order_id,
                "Running shoe",
                "1299.99 USD",
                "2599.98 USD",
                "Straw hat",
                "2610.03 USD",
            ] {
                assert!(body.contains(part), "{part} is not in {body}");
            }
        }
    }
    let times: Vec<_> = rows.iter().map(|row| row.sent_at).collect();
    assert!(times.is_sorted(), "in the order of the order's life: {times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_says_why_in_words() {
    let office = Office::open().await;
    for (code, words) in [
        ("CUSTOMER_REQUEST", "You asked us to cancel it."),
        ("PAYMENT_DECLINED", "Your payment was declined"),
        ("A_NEW_REASON", "We could not complete it."),
    ] {
        let order = order(fresh());
        office.tell(&cancelled(&order, code)).await;
        let rows = office.settled(&order.order_id, "SENT", 1).await;
        let email = office.email(&rows[0]);
        assert!(email.header("subject").contains("cancel"));
        for body in [email.text(), email.html()] {
            assert!(body.contains(words) && !body.contains(code), "{body}");
            assert!(body.contains(&order.order_id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_title_is_text_and_nothing_else() {
    let office = Office::open().await;
    let mut order = order(fresh());
    order.lines.push(OrderLine {
        title: "<script>alert(1)</script>\r\nBcc: thief@evil.test\r\n\r\n--x\r\nGrüße {{ order_id }}"
            .to_owned(),
        ..order.lines[0].clone()
    });
    let shipped = ferrocart_contracts::v1::OrderShipped {
        carrier: "<b>Fast</b>\r\nBcc: thief@evil.test".to_owned(),
        ..shipped(&order)
    };
    office.tell(&shipped).await;
    let rows = office.settled(&order.order_id, "SENT", 1).await;
    let email = office.email(&rows[0]);
    let title = "<script>alert(1)</script> Bcc: thief@evil.test --x Grüße {{ order_id }}";
    assert!(email.text().contains(title), "{}", email.text());
    assert!(!email.html().contains("<script>"), "{}", email.html());
    assert!(!email.html().contains("<b>"), "{}", email.html());
    assert!(email.html().contains("&lt;script&gt;"));
    assert!(email.html().contains("&lt;b&gt;Fast"));
    assert!(email.html().contains("Grüße"));
    assert_eq!(
        email.header_names(),
        [
            "message-id",
            "date",
            "from",
            "to",
            "subject",
            "auto-submitted",
            "content-language",
            "list-unsubscribe",
            "list-unsubscribe-post",
            "x-trace-id",
            "mime-version",
            "content-type"
        ]
    );
    assert_eq!(email.parts().as_array().unwrap().len(), 3);
}
