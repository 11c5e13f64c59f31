use std::collections::{BTreeMap, HashMap};

use ferrocart_contracts::v1::{
    ReservationConfirmed, ReservationDeducted, ReservationExpired, ReservationLine, ReservationReleased,
    StockLow, StockReserved, StockUpdated,
};
use ferrocart_contracts::{Envelope, Event, timestamp_to_proto, v1};
use ferrocart_types::{EventId, OrderId, SharedIds, SkuId, Timestamp};

use crate::SERVICE;
use crate::domain::{
    Channel, Counters, Effect, Kind, Line, Movement, OutOfBounds, ReleaseReason, Reservation, SaleTerms,
};
use crate::store::{Changes, LedgerRow, MovedRow, PurchaseRow, StockRow};

/// Who makes a change, within which trace.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Such as `service:order` or `user:<id>`.
    pub name: String,
    pub traceparent: Option<String>,
}

/// A change of stock that no reservation asked for.
#[derive(Debug, Clone)]
pub struct Entry {
    pub movement: Movement,
    pub reason: Option<String>,
    pub channel: Option<Channel>,
    /// Whether the SKU is no longer sold afterwards.
    pub discontinued: bool,
}

/// What the ledger must add so that it tells the truth again.
#[derive(Debug, Clone)]
pub(super) struct Correction {
    pub(super) order_id: Option<OrderId>,
    pub(super) on_hand: i64,
    pub(super) reserved: i64,
    pub(super) reason: String,
}

#[derive(Debug)]
struct Page {
    before: Counters,
    now: Counters,
    /// Why the counters moved last, and the trace it belongs to.
    updated: Option<(&'static str, Option<String>)>,
    /// Whether the last version went to an event of a line: StockUpdated then needs one of its own.
    version_taken: bool,
}

impl Page {
    /// Something changed that has no ledger row and no event of its own: StockUpdated tells it, with a version of
    /// its own.
    fn note(&mut self, reason: &'static str) {
        if self.updated.is_none() {
            self.updated = Some((reason, None));
            self.version_taken = true;
        }
    }
}

/// Writes down what one commit changes: counters, ledger rows and events, each SKU's in the order of its
/// versions. It knows no database: the rows that it starts from were locked, or are checked by
/// version when they are written.
pub struct Book<'t> {
    ids: &'t SharedIds,
    now: Timestamp,
    pages: BTreeMap<SkuId, Page>,
    /// Of how few units that can be sold it is told that they are few.
    low: i64,
    changes: Changes,
}

impl<'t> Book<'t> {
    pub fn open(ids: &'t SharedIds, now: Timestamp, low: i64, stock: &HashMap<SkuId, Counters>) -> Self {
        let pages = stock.iter().map(|(sku, counters)| {
            let page = Page {
                before: *counters,
                now: *counters,
                updated: None,
                version_taken: false,
            };
            (*sku, page)
        });
        Self {
            ids,
            now,
            pages: pages.collect(),
            low,
            changes: Changes::default(),
        }
    }

    /// The reservation was granted.
    pub fn grant(&mut self, granted: &Reservation, actor: &Actor) -> Result<(), OutOfBounds> {
        for line in &granted.lines {
            let movement = Movement {
                kind: Kind::Reserved,
                on_hand: 0,
                reserved: line.units(),
            };
            let version = self.move_line(granted, line, movement, actor)?;
            let event = StockReserved {
                line: Some(wire_line(granted, line, version)),
                expires_at: Some(timestamp_to_proto(granted.expires_at)),
            };
            self.publish(&event, actor.traceparent.as_deref());
        }
        let bought: Vec<PurchaseRow> = self.purchases(granted).collect();
        self.changes.bought.extend(bought);
        self.changes.granted.push(granted.clone());
        Ok(())
    }

    /// A command had this effect on the reservation.
    pub fn effect(
        &mut self,
        reservation: &Reservation,
        effect: Effect,
        actor: &Actor,
    ) -> Result<(), OutOfBounds> {
        if let Effect::Released(_) = effect {
            let returned: Vec<PurchaseRow> = self.purchases(reservation).collect();
            self.changes.returned.extend(returned);
        }
        for line in &reservation.lines {
            let movement = self.movement(effect, line);
            let version = self.move_line(reservation, line, movement, actor)?;
            let line = Some(wire_line(reservation, line, version));
            match effect {
                Effect::Confirmed => {
                    self.publish(&ReservationConfirmed { line }, actor.traceparent.as_deref());
                }
                Effect::Deducted => self.publish(&ReservationDeducted { line }, actor.traceparent.as_deref()),
                Effect::Released(ReleaseReason::Expired) => {
                    self.publish(&ReservationExpired { line }, actor.traceparent.as_deref());
                }
                Effect::Released(reason) => {
                    let reason = wire_reason(reason).into();
                    self.publish(
                        &ReservationReleased { line, reason },
                        actor.traceparent.as_deref(),
                    );
                }
            }
        }
        Ok(())
    }

    /// What of the reservation counts in the sales that its SKUs stand under now.
    fn purchases(&self, reservation: &Reservation) -> impl Iterator<Item = PurchaseRow> {
        reservation.lines.iter().filter_map(|line| {
            Some(PurchaseRow {
                sale: self.pages.get(&line.sku)?.now.sale?.sale,
                buyer: reservation.buyer?,
                order_id: reservation.order_id,
                units: line.units(),
            })
        })
    }

    /// So many more units are waited for, or fewer.
    pub(super) fn wait(&mut self, sku: SkuId, units: i64) {
        if let Some(page) = self.pages.get_mut(&sku) {
            page.now.waiting += units;
            page.note("WAITLIST");
        }
    }

    /// From now on the SKU stands under this sale, or none.
    pub(super) fn put_under(&mut self, sku: SkuId, sale: Option<SaleTerms>) {
        if let Some(page) = self.pages.get_mut(&sku)
            && page.now.sale != sale
        {
            page.now.sale = sale;
            page.note("FLASH_SALE");
        }
    }

    /// The reservation's state after all effects.
    pub fn moved(&mut self, row: MovedRow) {
        if row.before != row.after {
            self.changes.moved.push(row);
        }
    }

    /// The reservation lasts longer.
    pub fn extended(&mut self, order: OrderId, until: Timestamp) {
        self.changes.extended.push((order, until));
    }

    /// The order was given up before it had a reservation.
    pub fn buried(&mut self, tombstone: Reservation) {
        self.changes.tombstones.push(tombstone);
    }

    /// A person changed the stock.
    pub fn enter(&mut self, sku: SkuId, entry: Entry, actor: &Actor) -> Result<(), OutOfBounds> {
        let (version, page) = self.turn(sku, entry.movement)?;
        page.now.discontinued = entry.discontinued;
        page.updated = Some((entry.movement.kind.as_event_reason(), actor.traceparent.clone()));
        page.version_taken = false;
        self.changes.ledger.push(LedgerRow {
            sku,
            version,
            kind: entry.movement.kind,
            on_hand_delta: entry.movement.on_hand,
            reserved_delta: entry.movement.reserved,
            order_id: None,
            actor: actor.name.clone(),
            reason: entry.reason,
            channel: entry.channel,
        });
        Ok(())
    }

    /// The counters become `target`, whatever they were, and the ledger adds up to them.
    pub(super) fn reconcile(
        &mut self,
        sku: SkuId,
        target: Counters,
        corrections: Vec<Correction>,
        actor: &Actor,
    ) {
        let Some(page) = self.pages.get_mut(&sku) else {
            return;
        };
        page.now = target;
        for correction in corrections {
            page.now.version += 1;
            self.changes.ledger.push(LedgerRow {
                sku,
                version: page.now.version,
                kind: Kind::Reconciled,
                on_hand_delta: correction.on_hand,
                reserved_delta: correction.reserved,
                order_id: correction.order_id,
                actor: actor.name.clone(),
                reason: Some(correction.reason),
                channel: None,
            });
        }
        page.updated = Some((Kind::Reconciled.as_event_reason(), actor.traceparent.clone()));
        page.version_taken = false;
    }

    /// All changes, with one StockUpdated for each SKU whose counters moved, and the counters after.
    pub fn close(mut self) -> (Changes, Vec<(SkuId, Counters)>) {
        let mut after = Vec::new();
        for (sku, mut page) in std::mem::take(&mut self.pages) {
            if let Some((reason, traceparent)) = page.updated.take() {
                page.now.version += i64::from(page.version_taken);
                let event = StockUpdated {
                    sku_id: sku.to_string(),
                    on_hand: page.now.on_hand,
                    reserved: page.now.reserved,
                    available: page.now.available(),
                    version: page.now.version,
                    reason: reason.to_owned(),
                };
                self.publish(&event, traceparent.as_deref());
                if self.has_run_low(&page) {
                    // An event of its own has a sequence of its own.
                    page.now.version += 1;
                    let event = StockLow {
                        sku_id: sku.to_string(),
                        available: page.now.available(),
                        threshold: self.low,
                        version: page.now.version,
                    };
                    self.publish(&event, traceparent.as_deref());
                }
            }
            if page.now != page.before {
                self.changes.stock.push(StockRow {
                    sku,
                    before: page.before,
                    after: page.now,
                });
            }
            after.push((sku, page.now));
        }
        (self.changes, after)
    }

    /// Once, when the stock falls to the threshold; not of what is no longer sold.
    fn has_run_low(&self, page: &Page) -> bool {
        !page.now.discontinued && page.before.available() > self.low && page.now.available() <= self.low
    }

    fn movement(&self, effect: Effect, line: &Line) -> Movement {
        match effect {
            Effect::Confirmed => Movement {
                kind: Kind::Confirmed,
                on_hand: 0,
                reserved: 0,
            },
            Effect::Deducted => Movement {
                kind: Kind::Deducted,
                on_hand: -line.units(),
                reserved: -line.units(),
            },
            Effect::Released(reason) => {
                let kind = match reason {
                    ReleaseReason::Expired => Kind::Expired,
                    ReleaseReason::Cancelled | ReleaseReason::PaymentFailed => Kind::Released,
                };
                // What is no longer sold does not go back on sale: it is written off.
                let discontinued = self
                    .pages
                    .get(&line.sku)
                    .is_some_and(|page| page.now.discontinued);
                Movement {
                    kind,
                    on_hand: if discontinued { -line.units() } else { 0 },
                    reserved: -line.units(),
                }
            }
        }
    }

    fn move_line(
        &mut self,
        reservation: &Reservation,
        line: &Line,
        movement: Movement,
        actor: &Actor,
    ) -> Result<i64, OutOfBounds> {
        let (version, page) = self.turn(line.sku, movement)?;
        page.version_taken = true;
        if (movement.on_hand, movement.reserved) != (0, 0) {
            page.updated = Some((movement.kind.as_event_reason(), actor.traceparent.clone()));
        }
        self.changes.ledger.push(LedgerRow {
            sku: line.sku,
            version,
            kind: movement.kind,
            on_hand_delta: movement.on_hand,
            reserved_delta: movement.reserved,
            order_id: Some(reservation.order_id),
            actor: actor.name.clone(),
            reason: None,
            channel: None,
        });
        Ok(version)
    }

    /// Moves the counters; a SKU that was not loaded has none to move.
    fn turn(&mut self, sku: SkuId, movement: Movement) -> Result<(i64, &mut Page), OutOfBounds> {
        let page = self.pages.get_mut(&sku).ok_or(OutOfBounds {
            sku,
            on_hand: movement.on_hand,
            reserved: movement.reserved,
        })?;
        page.now = page.now.moved(sku, movement)?;
        Ok((page.now.version, page))
    }

    fn publish<E: Event>(&mut self, event: &E, traceparent: Option<&str>) {
        let envelope = Envelope::new(SERVICE, EventId(self.ids.next()), self.now, event)
            .with_traceparent(traceparent.map(ToOwned::to_owned));
        self.changes.events.push(envelope);
    }
}

fn wire_line(reservation: &Reservation, line: &Line, version: i64) -> ReservationLine {
    ReservationLine {
        reservation_id: reservation.id().to_string(),
        order_id: reservation.order_id.to_string(),
        sku_id: line.sku.to_string(),
        // Quantities are above zero by their constructor.
        quantity: u32::try_from(line.quantity).unwrap_or_default(),
        version,
    }
}

fn wire_reason(reason: ReleaseReason) -> v1::ReleaseReason {
    match reason {
        ReleaseReason::Cancelled => v1::ReleaseReason::Cancelled,
        ReleaseReason::PaymentFailed => v1::ReleaseReason::PaymentFailed,
        ReleaseReason::Expired => v1::ReleaseReason::Expired,
    }
}
