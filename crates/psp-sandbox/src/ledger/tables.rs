//! The ledger in memory: objects, their indexes, and where the texts lie in the journal.

use super::journal::Blob;
use super::record::{EventHead, Record};
use crate::api::call::{Clause, Page};
use crate::domain::charge::Charge;
use crate::domain::intent::{Intent, IntentState};
use crate::domain::refund::Refund;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

/// How many events `GET /v1/events` looks back on.
const EVENTS_KEPT_MAX: usize = 100_000;
/// Stripe forgets keys after a day as well.
const ANSWERS_KEPT_S: i64 = 24 * 60 * 60;

/// Objects in the order of their creation, found by id.
#[derive(Debug)]
pub(crate) struct Table<T> {
    rows: Vec<T>,
    places: HashMap<String, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            places: HashMap::new(),
        }
    }
}

impl<T> Table<T> {
    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.rows.get(self.place(id)?)
    }

    pub(crate) fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    pub(crate) fn rows(&self) -> &[T] {
        &self.rows
    }

    /// Answers the row's place and whether it is new.
    fn put(&mut self, id: &str, row: T) -> (usize, bool) {
        if let Some(place) = self.place(id) {
            if let Some(old) = self.rows.get_mut(place) {
                *old = row;
            }
            return (place, false);
        }
        let place = self.rows.len();
        self.places.insert(id.to_owned(), place);
        self.rows.push(row);
        (place, true)
    }
}

/// A stored answer to an idempotency key.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) hash: String,
    pub(crate) status: u16,
    pub(crate) request_id: String,
    pub(crate) body: Blob,
    at: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) head: EventHead,
    pub(crate) body: Blob,
}

#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) intents: Table<Intent>,
    pub(crate) charges: Table<Charge>,
    pub(crate) refunds: Table<Refund>,
    charges_of: HashMap<String, Vec<usize>>,
    refunds_of: HashMap<String, Vec<usize>>,
    intents_of_order: HashMap<String, Vec<usize>>,
    answers: HashMap<String, Answer>,
    answers_by_age: VecDeque<(i64, String)>,
    /// Keys whose first request is not answered yet.
    pub(crate) answering: HashSet<String>,
    events: VecDeque<Event>,
    undelivered: BTreeMap<u64, Event>,
    /// Authorizations by their end.
    expiring: BTreeSet<(i64, String)>,
    pub(crate) ids: u64,
    pub(crate) event_seq: u64,
}

impl Tables {
    /// Applies a transaction, now or in a replay. `blobs` has its texts in the journal's order.
    pub(crate) fn apply(&mut self, record: Record, blobs: &[Blob]) {
        let mut blobs = blobs.iter().copied();
        for intent in record.intents {
            self.put_intent(intent);
        }
        for charge in record.charges {
            let (id, intent) = (charge.id.clone(), charge.intent.clone());
            if let (place, true) = self.charges.put(&id, charge) {
                self.charges_of.entry(intent).or_default().push(place);
            }
        }
        for refund in record.refunds {
            let (id, intent) = (refund.id.clone(), refund.intent.clone());
            if let (place, true) = self.refunds.put(&id, refund) {
                self.refunds_of.entry(intent).or_default().push(place);
            }
        }
        // The answer's text comes first; `next` is not called where there is no answer.
        if let Some((head, body)) = record.answer.and_then(|head| Some((head, blobs.next()?))) {
            self.answers_by_age.push_back((head.at, head.key.clone()));
            let (hash, status, at) = (head.hash, head.status, head.at);
            let answer = Answer {
                hash,
                status,
                request_id: head.request_id,
                body,
                at,
            };
            self.answers.insert(head.key, answer);
        }
        for (head, body) in record.events.into_iter().zip(blobs) {
            self.put_event(Event { head, body });
        }
        for seq in record.delivered {
            self.undelivered.remove(&seq);
        }
        self.ids = self.ids.max(record.ids);
    }

    fn put_intent(&mut self, intent: Intent) {
        let id = intent.id.clone();
        let order = intent.metadata.get("order_id").cloned();
        if let Some(IntentState::RequiresCapture { capture_before }) =
            self.intents.get(&id).map(|old| &old.state)
        {
            self.expiring.remove(&(*capture_before, id.clone()));
        }
        if let IntentState::RequiresCapture { capture_before } = intent.state {
            self.expiring.insert((capture_before, id.clone()));
        }
        let (place, new) = self.intents.put(&id, intent);
        if let (true, Some(order)) = (new, order) {
            self.intents_of_order.entry(order).or_default().push(place);
        }
    }

    fn put_event(&mut self, event: Event) {
        self.event_seq = self.event_seq.max(event.head.seq);
        if event.head.hook {
            self.undelivered.insert(event.head.seq, event.clone());
        }
        self.events.push_back(event);
        if self.events.len() > EVENTS_KEPT_MAX {
            self.events.pop_front();
        }
    }

    pub(crate) fn answer(&self, key: &str) -> Option<&Answer> {
        self.answers.get(key)
    }

    /// Forgets answers older than a day.
    pub(crate) fn forget_answers(&mut self, now: i64) {
        while let Some((at, key)) = self.answers_by_age.front() {
            if now - at < ANSWERS_KEPT_S {
                return;
            }
            // A key that was forgotten may have been used again: the younger answer stays.
            if self.answers.get(key).is_some_and(|answer| answer.at == *at) {
                self.answers.remove(key);
            }
            self.answers_by_age.pop_front();
        }
    }

    /// Intents whose authorization has ended, oldest first.
    pub(crate) fn expired(&self, now: i64, at_most: usize) -> Vec<String> {
        let due = self
            .expiring
            .iter()
            .take_while(|(capture_before, _)| *capture_before <= now);
        due.take(at_most).map(|(_, id)| id.clone()).collect()
    }

    pub(crate) fn undelivered(&self) -> impl Iterator<Item = &Event> {
        self.undelivered.values()
    }

    pub(crate) fn undelivered_len(&self) -> usize {
        self.undelivered.len()
    }

    pub(crate) fn charges_page(&self, page: &Page) -> Option<(Vec<&Charge>, bool)> {
        let places = page
            .payment_intent
            .as_ref()
            .map(|intent| children(&self.charges_of, intent));
        paged(&self.charges, places, page, |charge| charge.created)
    }

    pub(crate) fn refunds_page(&self, page: &Page) -> Option<(Vec<&Refund>, bool)> {
        let intent = match &page.charge {
            Some(charge) => Some(
                self.charges
                    .get(charge)
                    .map_or("", |charge| charge.intent.as_str()),
            ),
            None => page.payment_intent.as_deref(),
        };
        let places = intent.map(|intent| children(&self.refunds_of, intent));
        paged(&self.refunds, places, page, |refund| refund.created)
    }

    pub(crate) fn intents_page(&self, page: &Page) -> Option<(Vec<&Intent>, bool)> {
        paged(&self.intents, None, page, |intent| intent.created)
    }

    pub(crate) fn events_page(&self, page: &Page) -> Option<(Vec<Event>, bool)> {
        let place = |id: &String| self.events.iter().position(|event| &event.head.id == id);
        let window = Window::new(self.events.len(), page, place)?;
        let wanted = |place: &usize| {
            self.events.get(*place).is_some_and(|event| {
                page.kind.as_ref().is_none_or(|kind| &event.head.kind == kind)
                    && (page.created_from..=page.created_to).contains(&event.head.at)
            })
        };
        let (places, more) = window.take(page.limit, wanted);
        Some((
            places
                .into_iter()
                .filter_map(|place| self.events.get(place).cloned())
                .collect(),
            more,
        ))
    }

    pub(crate) fn event(&self, id: &str) -> Option<&Event> {
        self.events.iter().rev().find(|event| event.head.id == id)
    }

    /// Newest first, from behind the intent `after`.
    pub(crate) fn search(
        &self,
        clauses: &[Clause],
        after: Option<&str>,
        limit: usize,
    ) -> Option<(Vec<&Intent>, bool)> {
        let before = match after {
            Some(id) => self.intents.place(id)?,
            None => self.intents.rows.len(),
        };
        let order = clauses.iter().find_map(|clause| match clause {
            Clause::Metadata { key, value } if key == "order_id" => Some(value),
            _ => None,
        });
        let wanted = |place: &usize| {
            self.intents
                .rows
                .get(*place)
                .is_some_and(|intent| clauses.iter().all(|c| matches(intent, c)))
        };
        let window = Window {
            from: 0,
            before,
            forwards: false,
        };
        let (places, more) = match order {
            Some(order) => {
                let places = children(&self.intents_of_order, order);
                window.take_of(places, limit, wanted)
            }
            None => window.take(limit, wanted),
        };
        Some((
            places
                .into_iter()
                .filter_map(|place| self.intents.rows.get(place))
                .collect(),
            more,
        ))
    }
}

fn children<'t>(index: &'t HashMap<String, Vec<usize>>, parent: &str) -> &'t [usize] {
    index.get(parent).map_or(&[], Vec::as_slice)
}

fn matches(intent: &Intent, clause: &Clause) -> bool {
    match clause {
        Clause::Metadata { key, value } => intent.metadata.get(key) == Some(value),
        Clause::Status(status) => intent.state.name() == status,
    }
}

/// A range of places, read from its newest end, or its oldest when paging back.
struct Window {
    from: usize,
    before: usize,
    forwards: bool,
}

impl Window {
    /// `None` if a cursor names nothing.
    fn new(len: usize, page: &Page, place: impl Fn(&String) -> Option<usize>) -> Option<Self> {
        let before = match &page.starting_after {
            Some(id) => place(id)?,
            None => len,
        };
        let from = match &page.ending_before {
            Some(id) => place(id)? + 1,
            None => 0,
        };
        Some(Self {
            from,
            before,
            forwards: page.ending_before.is_some(),
        })
    }

    fn take(&self, limit: usize, wanted: impl Fn(&usize) -> bool) -> (Vec<usize>, bool) {
        let range = self.from..self.before.max(self.from);
        if self.forwards {
            cut(range, limit, wanted, true)
        } else {
            cut(range.rev(), limit, wanted, false)
        }
    }

    fn take_of(&self, places: &[usize], limit: usize, wanted: impl Fn(&usize) -> bool) -> (Vec<usize>, bool) {
        let range = self.from..self.before.max(self.from);
        let inside = places.iter().copied().filter(|place| range.contains(place));
        if self.forwards {
            cut(inside, limit, wanted, true)
        } else {
            cut(inside.rev(), limit, wanted, false)
        }
    }
}

fn cut(
    places: impl Iterator<Item = usize>,
    limit: usize,
    wanted: impl Fn(&usize) -> bool,
    oldest_first: bool,
) -> (Vec<usize>, bool) {
    let mut taken: Vec<usize> = places.filter(|place| wanted(place)).take(limit + 1).collect();
    let more = taken.len() > limit;
    taken.truncate(limit);
    if oldest_first {
        taken.reverse();
    }
    (taken, more)
}

/// `places`: those of one parent, in the order of creation; all rows if not given.
fn paged<'t, T>(
    table: &'t Table<T>,
    places: Option<&[usize]>,
    page: &Page,
    created: impl Fn(&T) -> i64,
) -> Option<(Vec<&'t T>, bool)> {
    let window = Window::new(table.rows.len(), page, |id| table.place(id))?;
    let wanted = |place: &usize| {
        let row = table.rows.get(*place);
        row.is_some_and(|row| (page.created_from..=page.created_to).contains(&created(row)))
    };
    let (taken, more) = match places {
        None => window.take(page.limit, wanted),
        Some(places) => window.take_of(places, page.limit, wanted),
    };
    Some((
        taken
            .into_iter()
            .filter_map(|place| table.rows.get(place))
            .collect(),
        more,
    ))
}
