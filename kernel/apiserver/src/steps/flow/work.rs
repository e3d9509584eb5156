//! How wide a request is: lists by what they go through, writes by how many watch. Source: KEP-1040, "width".

use std::time::Duration;

use sdk_api::GroupResource;

use super::dispatcher::Schema;
use super::queues::Work;
use crate::info::RequestInfo;
use crate::server::ApiServer;

/// Source: `objectsPerSeat` of the API server.
const OBJECTS_PER_SEAT: usize = 100;
/// An event is encoded once for all who watch, and handed on: about a microsecond each.
const WATCHERS_PER_SEAT: usize = 100;
/// How long a seat is held after a write for those who watch.
const EVENT_TIME: Duration = Duration::from_millis(1);

/// What is known of a list before it is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listing {
    /// 0 is no limit.
    pub limit: usize,
    /// Whether selectors make it go through more than it answers.
    pub selects: bool,
    /// Whether a watch begins with the present state.
    pub initial_events: bool,
}

/// The work of a request, within what its level allows.
pub fn estimate(server: &ApiServer, info: &RequestInfo, listing: Listing, schema: &Schema) -> Work {
    let widest = schema.seats_max();
    match info.verb {
        "list" | "watch" if info.is_resource => {
            if !info.name.is_empty() || (info.verb == "watch" && !listing.initial_events) {
                return Work::ONE;
            }
            let stored = server.registry.store().count(&GroupResource::new(&info.group, &info.resource));
            Work { seats: seats_of_list(stored, listing).clamp(1, widest), ..Work::ONE }
        }
        "create" | "update" | "patch" | "delete" if info.is_resource && !schema.is_exempt() => {
            // A token is issued, nothing is written that anybody watches.
            let watchers = match info.subresource.as_str() {
                "token" => 0,
                _ => server.watchers.count(&info.group, &info.resource, &info.namespace, &info.name),
            };
            after_write(watchers, widest)
        }
        _ => Work::ONE,
    }
}

fn seats_of_list(stored: usize, listing: Listing) -> usize {
    let limited = if listing.limit > 0 { listing.limit.min(stored) } else { stored };
    // With selectors the index is gone through until the page is full.
    let seen = if listing.selects { stored } else { limited };
    seen.div_ceil(OBJECTS_PER_SEAT)
}

fn after_write(watchers: usize, widest: usize) -> Work {
    let seats = watchers.div_ceil(WATCHERS_PER_SEAT);
    if watchers < WATCHERS_PER_SEAT {
        return Work::ONE;
    }
    // What does not fit beside each other comes one after another.
    let time = EVENT_TIME.mul_f64(seats.max(widest) as f64 / widest as f64);
    Work { seats: 1, last_seats: seats.min(widest), last_time: time }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_wide_as_what_they_go_through() {
        let listing = |limit: usize, selects: bool| Listing { limit, selects, initial_events: false };
        for (stored, listing, seats) in [
            (0, listing(0, false), 0),
            (99, listing(0, false), 1),
            (101, listing(0, false), 2),
            (50_000, listing(500, false), 5),
            (50_000, listing(500, true), 500),
        ] {
            assert_eq!(seats_of_list(stored, listing), seats, "{stored} {listing:?}");
        }
    }

    #[test]
    fn writes_hold_seats_for_many_watchers() {
        let ms = Duration::from_millis;
        for (watchers, expected) in [
            (0, Work::ONE),
            (99, Work::ONE),
            (100, Work { seats: 1, last_seats: 1, last_time: ms(1) }),
            (950, Work { seats: 1, last_seats: 10, last_time: ms(1) }),
            (5_000, Work { seats: 1, last_seats: 10, last_time: ms(5) }),
        ] {
            assert_eq!(after_write(watchers, 10), expected, "{watchers}");
        }
    }
}
