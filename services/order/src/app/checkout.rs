use std::collections::HashMap;
use std::time::Duration;

use ferrocart_failpoint::{Site, around};
use ferrocart_http_kit::{Caller, IdempotencyKey, Problem, Role};
use ferrocart_pg_kit::idempotency::{self, Claim, RequestKey, StoredResponse};
use ferrocart_pg_kit::{StoreError, run_tx};
use ferrocart_types::{Email, OrderId, ReservationId, SagaId, SkuId, UserId};
use tokio::time::Instant;

use super::App;
use super::begin::Beginning;
use crate::clients::{Cart, CartStatus, Price, Reservation, ReservationStatus};
use crate::domain::saga::Kind;
use crate::domain::{CartId, Line, Order, OrderParts, ShippingAddress, Status};
use crate::error::{PriceChange, ServiceError};
use crate::events::status_event;
use crate::store::orders;
use crate::store::sagas::{KeyRef, Payload, Saga};

/// How much longer a key is held than its request may take: the request has answered by then.
const LOCK_MARGIN: Duration = Duration::from_secs(1);

/// How long a key is claimed whose request is answered within `deadline`.
pub(crate) fn lock_for(deadline: Duration) -> Duration {
    deadline + LOCK_MARGIN
}

/// How long a cart is waited for whose order is over.
const CART_PATIENCE: Duration = Duration::from_secs(2);
const CART_PAUSE: Duration = Duration::from_millis(50);

/// A checkout as it was asked for, checked.
#[derive(Debug, Clone)]
pub(crate) struct CheckoutRequest {
    customer_id: UserId,
    guest: bool,
    email: Email,
    source: Source,
    address: ShippingAddress,
    /// `None` when the order is to be paid later.
    payment_method: Option<String>,
    key: KeyRef,
    request_key: RequestKey,
}

/// What an order is made of.
#[derive(Debug, Clone, Copy)]
enum Source {
    Cart(CartId),
    Hold(ReservationId),
}

/// What is sold, under the id that the order is to have.
struct Goods {
    order_id: OrderId,
    lines: Vec<Line>,
}

impl CheckoutRequest {
    /// An order of a hold; see [`CheckoutRequest::new`].
    pub(crate) fn from_hold(
        caller: &Caller,
        key: IdempotencyKey,
        body: HoldOrderBody,
        raw: &[u8],
    ) -> Result<Self, ServiceError> {
        caller.require_any(&[Role::Customer])?;
        let user = caller.user()?;
        let email = user.email.clone().or(body.email).ok_or_else(missing_email)?;
        let key = KeyRef {
            caller: caller.scope(),
            key: key.0,
        };
        let request_key = RequestKey::new(&key.caller, &key.key, &[b"POST", b"/v1/orders", raw]);
        Ok(Self {
            customer_id: user.user_id,
            guest: false,
            email,
            source: Source::Hold(body.hold_id),
            address: body.address,
            payment_method: body.payment_method,
            key,
            request_key,
        })
    }

    /// `raw` is the body as it came: what makes the request the same one when it is sent again.
    pub(crate) fn new(
        caller: &Caller,
        key: IdempotencyKey,
        body: CheckoutBody,
        raw: &[u8],
    ) -> Result<Self, ServiceError> {
        caller.require_any(&[Role::Customer, Role::Guest])?;
        let user = caller.user()?;
        let guest = !caller.has_role(Role::Customer);
        // What a customer wrote into the body must not send the mail of their order elsewhere.
        let email = user
            .email
            .clone()
            .filter(|_| !guest)
            .or(body.email)
            .ok_or_else(missing_email)?;
        let own = if guest {
            CartId::Guest(user.user_id)
        } else {
            CartId::User(user.user_id)
        };
        if body
            .cart_id
            .is_some_and(|asked| CartId::parse(&asked) != Some(own))
        {
            return Err(ServiceError::CartNotFound);
        }
        let key = KeyRef {
            caller: caller.scope(),
            key: key.0,
        };
        let request_key = RequestKey::new(&key.caller, &key.key, &[b"POST", b"/v1/checkout", raw]);
        Ok(Self {
            customer_id: user.user_id,
            guest,
            email,
            source: Source::Cart(own),
            address: body.address,
            payment_method: Some(body.payment_method),
            key,
            request_key,
        })
    }
}

impl CheckoutRequest {
    /// An order that is to be paid later need not be waited for.
    fn patience(&self, deadline: Instant) -> Instant {
        match self.payment_method {
            Some(_) => deadline,
            None => Instant::now(),
        }
    }
}

fn missing_email() -> Problem {
    Problem::invalid_field("email", "is needed: there is no account to take it from")
}

/// What an order of a hold is asked for with.
#[derive(Debug, Clone)]
pub(crate) struct HoldOrderBody {
    pub(crate) hold_id: ReservationId,
    pub(crate) email: Option<Email>,
    pub(crate) address: ShippingAddress,
    pub(crate) payment_method: Option<String>,
}

/// The parts of the body that are not the caller's own.
#[derive(Debug, Clone)]
pub(crate) struct CheckoutBody {
    pub(crate) cart_id: Option<String>,
    pub(crate) email: Option<Email>,
    pub(crate) address: ShippingAddress,
    pub(crate) payment_method: String,
}

#[derive(Debug)]
pub(crate) enum CheckoutAnswer {
    /// The stored answer; `replayed` when an earlier request had it first.
    Final {
        order_id: OrderId,
        response: StoredResponse,
        replayed: bool,
    },
    /// Not final in time: the saga goes on.
    Accepted(Box<Order>),
}

enum Begun {
    Started(Box<(Saga, Order)>),
    Earlier(Claim),
}

impl App {
    /// One order and one answer per key, however often it is sent.
    pub(crate) async fn checkout(&self, request: CheckoutRequest) -> Result<CheckoutAnswer, ServiceError> {
        let deadline = self.deadline();
        let goods = match self.goods(&request).await {
            Ok(goods) => goods,
            // The same request may have become an order before, and its cart or its hold be gone with it.
            Err(_) if self.is_known(&request.key).await? => {
                let claim = self.claim_again(&request).await?;
                return self.follow(&request, claim, deadline).await;
            }
            Err(error) => return Err(error),
        };
        match self.begin(&request, goods).await? {
            Begun::Started(begun) => {
                let (saga, order) = *begun;
                self.drive_to_answer(&request, saga, order, deadline).await
            }
            Begun::Earlier(claim) => self.follow(&request, claim, deadline).await,
        }
    }

    async fn is_known(&self, key: &KeyRef) -> Result<bool, StoreError> {
        Ok(self.inner.peeks.run(key.clone()).await?.is_some())
    }

    fn lock_for(&self) -> Duration {
        lock_for(self.inner.deadline)
    }

    async fn claim_again(&self, request: &CheckoutRequest) -> Result<Claim, ServiceError> {
        let (key, id, now, lock_for) = (
            request.request_key.clone(),
            self.inner.ids.next(),
            self.inner.clock.now(),
            self.lock_for(),
        );
        run_tx(&self.inner.pool, "checkout.claim", |conn| {
            let key = key.clone();
            Box::pin(async move {
                match idempotency::claim(conn, &key, id, now, lock_for).await? {
                    // Known a moment ago and gone since: keys live for days.
                    Claim::Fresh => Err(ServiceError::InProgress(LOCK_MARGIN)),
                    claim => Ok(claim),
                }
            })
        })
        .await
    }

    async fn goods(&self, request: &CheckoutRequest) -> Result<Goods, ServiceError> {
        match request.source {
            Source::Cart(cart) => Ok(Goods {
                order_id: OrderId(self.inner.ids.next()),
                lines: self.priced_lines(request, cart).await?,
            }),
            Source::Hold(hold) => self.held_goods(request.customer_id, hold).await,
        }
    }

    /// A hold names the order that it becomes, so that the order's key makes one order of it. Whether the
    /// hold still stands is asked again by the saga, of inventory's table.
    async fn held_goods(&self, customer: UserId, hold: ReservationId) -> Result<Goods, ServiceError> {
        let found = self.inner.clients.inventory.find(hold).await?;
        let found = found
            .filter(|hold| hold.buyer_id == Some(customer))
            .ok_or(ServiceError::HoldNotFound)?;
        let mut conn = self.inner.pool.acquire().await?;
        if orders::exists(&mut conn, found.order_id).await? {
            return Err(ServiceError::HoldRedeemed(found.order_id));
        }
        drop(conn);
        match (found.status, found.release_reason.as_deref()) {
            (ReservationStatus::Reserved, _) => {}
            (ReservationStatus::Released, Some("EXPIRED")) => return Err(ServiceError::HoldExpired),
            (ReservationStatus::Released, _) => return Err(ServiceError::HoldReleased),
            (ReservationStatus::Confirmed | ReservationStatus::Deducted, _) => {
                return Err(ServiceError::HoldRedeemed(found.order_id));
            }
        }
        let skus: Vec<SkuId> = found.items.iter().map(|item| item.sku_id).collect();
        let prices = self.inner.clients.catalog.prices(&skus).await?;
        Ok(Goods {
            order_id: found.order_id,
            lines: price_held(&found, prices)?,
        })
    }

    /// The cart's lines at the catalog's prices, if they are the prices that the buyer was shown.
    async fn priced_lines(&self, request: &CheckoutRequest, id: CartId) -> Result<Vec<Line>, ServiceError> {
        let cart = self.active_cart(request, id).await?;
        if cart.items.is_empty() {
            return Err(ServiceError::CartEmpty);
        }
        let skus: Vec<SkuId> = cart.items.iter().map(|item| item.sku_id).collect();
        let prices = self.inner.clients.catalog.prices(&skus).await?;
        price(&cart, prices)
    }

    /// A checkout that is over gives its cart back, which the cart service learns from an event: a buyer
    /// who tries another card at once is not sent away, but waits for that.
    async fn active_cart(&self, request: &CheckoutRequest, id: CartId) -> Result<Cart, ServiceError> {
        let patience = Instant::now() + CART_PATIENCE;
        let mut first = true;
        loop {
            let cart = self.inner.clients.cart.read(id).await?;
            let cart = cart.ok_or(ServiceError::CartEmpty)?;
            if cart.status == CartStatus::Active {
                return Ok(cart);
            }
            // A retry need not wait for the cart that its own order has taken.
            let known = first && self.is_known(&request.key).await?;
            if known || Instant::now() >= patience || !self.is_over(request.customer_id, id).await? {
                return Err(ServiceError::CartCheckedOut);
            }
            first = false;
            tokio::time::sleep(CART_PAUSE).await;
        }
    }

    /// Whether the newest order of the cart has come to its end.
    async fn is_over(&self, customer: UserId, cart: CartId) -> Result<bool, StoreError> {
        let mut conn = self.inner.pool.acquire().await?;
        let status = orders::newest_status_of_cart(&mut conn, customer, cart).await?;
        Ok(status.is_some_and(|status| !matches!(status, Status::Placed | Status::PaymentPending)))
    }

    /// Order, lines, idempotency key, saga and OrderPlaced: all or nothing.
    async fn begin(&self, request: &CheckoutRequest, goods: Goods) -> Result<Begun, ServiceError> {
        let now = self.inner.clock.now();
        let (cart_id, hold) = match request.source {
            Source::Cart(cart) => (Some(cart), None),
            Source::Hold(hold) => (None, Some(hold)),
        };
        let parts = OrderParts {
            id: goods.order_id,
            customer_id: request.customer_id,
            guest: request.guest,
            email: request.email.clone(),
            cart_id,
            lines: goods.lines,
            address: request.address.clone(),
        };
        let order = Order::place(parts, now).map_err(|error| ServiceError::Total(error.to_string()))?;
        let saga = Saga {
            id: SagaId(self.inner.ids.next()),
            order_id: order.id,
            kind: Kind::Checkout,
            step: Kind::Checkout.first_step(),
            reason: None,
            fence: 1,
            wakes: 0,
            attempts: 0,
            payload: Payload {
                traceparent: ferrocart_telemetry::current_traceparent(),
                payment_method: request.payment_method.clone(),
                pays_later: request.payment_method.is_none(),
                hold,
                reservation_id: hold,
                idempotency: Some(request.key.clone()),
                ..Payload::default()
            },
            created_at: now,
        };
        let beginning = Beginning {
            event: status_event(&self.inner.publisher, &order),
            key: request.request_key.clone(),
            lease: self.inner.driver.lease(),
            saga: saga.clone(),
            order: order.clone(),
        };
        let begin = || self.inner.beginnings.run(beginning.clone());
        if around(Site::OrderPlace, begin).await? {
            return Ok(Begun::Started(Box::new((saga, order))));
        }
        self.claim_again(request).await.map(Begun::Earlier)
    }

    async fn drive_to_answer(
        &self,
        request: &CheckoutRequest,
        saga: Saga,
        order: Order,
        deadline: Instant,
    ) -> Result<CheckoutAnswer, ServiceError> {
        let order_id = order.id;
        let driving = self.inner.driver.start(saga, order);
        if let Ok(Ok(Some(ended))) = tokio::time::timeout_at(deadline, driving).await
            && let Some(response) = ended.answer
        {
            return Ok(CheckoutAnswer::Final {
                order_id,
                response,
                replayed: false,
            });
        }
        // Too late, given up for now or in other hands: another driver may still make it in time.
        let deadline = request.patience(deadline);
        match self.stored_answer(request, order_id, deadline).await? {
            Some(response) => Ok(CheckoutAnswer::Final {
                order_id,
                response,
                replayed: false,
            }),
            None => self.accepted(request, order_id).await,
        }
    }

    /// A request whose key was used before.
    async fn follow(
        &self,
        request: &CheckoutRequest,
        claim: Claim,
        deadline: Instant,
    ) -> Result<CheckoutAnswer, ServiceError> {
        let replay = |id, response| CheckoutAnswer::Final {
            order_id: OrderId(id),
            response,
            replayed: true,
        };
        match claim {
            // A claim that was made by the caller is never followed.
            Claim::Fresh => Err(Problem::internal().into()),
            Claim::Reused => Err(ServiceError::KeyReused),
            Claim::Replay {
                resource_id,
                response,
            } => Ok(replay(resource_id, response)),
            Claim::InProgress {
                resource_id,
                retry_after,
            } => {
                match self
                    .stored_answer(request, OrderId(resource_id), deadline)
                    .await?
                {
                    Some(response) => Ok(replay(resource_id, response)),
                    None => Err(ServiceError::InProgress(retry_after.min(Duration::from_secs(1)))),
                }
            }
            Claim::Resume { resource_id } => {
                self.inner.driver.wake_worker();
                let deadline = request.patience(deadline);
                match self
                    .stored_answer(request, OrderId(resource_id), deadline)
                    .await?
                {
                    Some(response) => Ok(replay(resource_id, response)),
                    None => self.accepted(request, OrderId(resource_id)).await,
                }
            }
        }
    }

    /// The answer that is stored with the saga's end, as soon as it is there.
    async fn stored_answer(
        &self,
        request: &CheckoutRequest,
        order: OrderId,
        deadline: Instant,
    ) -> Result<Option<StoredResponse>, StoreError> {
        self.inner
            .driver
            .endings()
            .wait(order, deadline, || async {
                Ok(self.inner.peeks.run(request.key.clone()).await?.flatten())
            })
            .await
    }

    /// 202: the key is given up, so that a retry takes up the same order at once.
    async fn accepted(&self, request: &CheckoutRequest, id: OrderId) -> Result<CheckoutAnswer, ServiceError> {
        let mut conn = self.inner.pool.acquire().await?;
        idempotency::release(&mut conn, &request.request_key).await?;
        let order = orders::read(&mut conn, id)
            .await?
            .ok_or(ServiceError::OrderNotFound(id))?;
        Ok(CheckoutAnswer::Accepted(Box::new(order)))
    }
}

/// The held units at the catalog's prices of now.
fn price_held(hold: &Reservation, prices: Vec<Price>) -> Result<Vec<Line>, ServiceError> {
    let prices: HashMap<SkuId, Price> = prices
        .into_iter()
        .filter(Price::is_for_sale)
        .map(|price| (price.sku_id, price))
        .collect();
    let lines = hold.items.iter().map(|item| {
        let price = prices
            .get(&item.sku_id)
            .ok_or_else(|| ServiceError::NotForSale(vec![item.sku_id]))?;
        Ok(Line {
            sku_id: item.sku_id,
            product_id: price.product_id,
            sku: price.sku.clone(),
            title: price.title.clone(),
            quantity: item.quantity,
            unit_price: price.amount,
        })
    });
    lines.collect()
}

/// Totals are made of the catalog's prices alone; the cart's only say what the buyer agreed to.
fn price(cart: &Cart, prices: Vec<Price>) -> Result<Vec<Line>, ServiceError> {
    let mut prices: HashMap<SkuId, Price> = prices
        .into_iter()
        .filter(Price::is_for_sale)
        .map(|price| (price.sku_id, price))
        .collect();
    let missing: Vec<SkuId> = cart
        .items
        .iter()
        .map(|item| item.sku_id)
        .filter(|sku| !prices.contains_key(sku))
        .collect();
    if !missing.is_empty() {
        return Err(ServiceError::NotForSale(missing));
    }
    let mut lines = Vec::with_capacity(cart.items.len());
    let mut changes = Vec::new();
    for item in &cart.items {
        // A cart holds a SKU once; a second line of it would find its price taken.
        let Some(price) = prices.remove(&item.sku_id) else {
            return Err(ServiceError::Total(format!(
                "{} is in the cart twice",
                item.sku_id
            )));
        };
        if price.amount != item.unit_price {
            changes.push(PriceChange {
                sku_id: item.sku_id,
                cart_price: item.unit_price,
                current_price: price.amount,
            });
        }
        lines.push(Line {
            sku_id: item.sku_id,
            product_id: price.product_id,
            sku: price.sku,
            title: price.title,
            quantity: item.quantity,
            unit_price: price.amount,
        });
    }
    if changes.is_empty() {
        Ok(lines)
    } else {
        Err(ServiceError::PriceChanged(changes))
    }
}
