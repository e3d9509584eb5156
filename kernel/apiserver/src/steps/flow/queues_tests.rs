//! Fair queuing, step by step and at random.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

const QUEUE: Overflow = Overflow::Queue { queues: 8, hand: 1, length_max: 3 };

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn wide(seats: usize) -> Work {
    Work { seats, ..Work::ONE }
}

/// Puts a request named `name` into the queue `flow`.
fn arrive(queues: &mut Queues<&'static str>, now: u64, flow: u64, work: Work, name: &'static str) -> Arrival {
    queues.arrive(ms(now), flow, work, || name)
}

fn runs(arrival: Arrival) -> Running {
    match arrival {
        Arrival::Runs(running) => running,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_level_refuses_or_lets_wait() {
    let mut reject = Queues::new(ms(0), Overflow::Reject, 1);
    let mut first = runs(arrive(&mut reject, 0, 1, Work::ONE, "a"));
    assert!(matches!(arrive(&mut reject, 0, 1, Work::ONE, "b"), Arrival::Refused(Refusal::ConcurrencyLimit)));
    reject.finish(ms(5), &mut first);
    assert!(matches!(arrive(&mut reject, 5, 1, Work::ONE, "c"), Arrival::Runs(_)));

    let mut queues = Queues::new(ms(0), QUEUE, 1);
    let mut first = runs(arrive(&mut queues, 0, 1, Work::ONE, "a"));
    for name in ["b", "c", "d"] {
        assert!(matches!(arrive(&mut queues, 0, 1, Work::ONE, name), Arrival::Waits { queue: 1, .. }), "{name}");
    }
    assert!(matches!(arrive(&mut queues, 0, 1, Work::ONE, "e"), Arrival::Refused(Refusal::QueueFull)));
    assert!(matches!(arrive(&mut queues, 0, 2, Work::ONE, "f"), Arrival::Waits { queue: 2, .. }), "another queue");
    assert!(queues.next(ms(1)).is_none(), "no seat");
    queues.finish(ms(1), &mut first);
    assert_eq!(queues.next(ms(1)).map(|(name, _)| name), Some("f"), "the queue that has used nothing");
    assert!(queues.next(ms(1)).is_none());

    let mut exempt = Queues::new(ms(0), Overflow::Exempt, 0);
    for _ in 0..100 {
        assert!(matches!(arrive(&mut exempt, 0, 1, wide(10), "x"), Arrival::Runs(_)));
    }
}

#[test]
fn who_leaves_is_not_served() {
    let mut queues = Queues::new(ms(0), QUEUE, 1);
    let mut first = runs(arrive(&mut queues, 0, 1, Work::ONE, "a"));
    let Arrival::Waits { queue, ticket } = arrive(&mut queues, 0, 1, Work::ONE, "b") else { panic!("it waits") };
    arrive(&mut queues, 0, 1, Work::ONE, "c");
    assert!(queues.leave(ms(1), queue, ticket));
    assert!(!queues.leave(ms(1), queue, ticket), "only once");
    queues.finish(ms(2), &mut first);
    let (name, mut running) = queues.next(ms(2)).unwrap();
    assert_eq!(name, "c");
    queues.finish(ms(3), &mut running);
    assert_eq!(queues.load(), Load { active_queues: 0, running: 0, waiting: 0, limit: 1 });
    assert_eq!((queues.seats_running, queues.seats_waiting), (0, 0));
}

#[test]
fn a_wide_request_waits_for_its_seats_and_is_not_passed() {
    let mut queues = Queues::new(ms(0), QUEUE, 4);
    let mut running: Vec<_> = (0..4).map(|flow| runs(arrive(&mut queues, 0, flow, Work::ONE, "narrow"))).collect();
    arrive(&mut queues, 0, 4, wide(3), "wide");
    arrive(&mut queues, 0, 5, Work::ONE, "late");
    for (at, one) in running.iter_mut().enumerate().take(2) {
        queues.finish(ms(100 + at as u64), one);
        let next = queues.next(ms(100 + at as u64)).map(|(name, _)| name);
        // The narrow one is done sooner in virtual time; then the wide one is next, and is waited for.
        assert_eq!(next, if at == 0 { Some("late") } else { None });
    }
    queues.finish(ms(110), &mut running[2]);
    queues.finish(ms(110), &mut running[3]);
    assert_eq!(queues.next(ms(110)).map(|(name, _)| name), Some("wide"));

    let mut small = Queues::new(ms(0), QUEUE, 2);
    let mut alone = runs(arrive(&mut small, 0, 1, wide(9), "wider than the level"));
    assert!(matches!(arrive(&mut small, 0, 2, Work::ONE, "b"), Arrival::Waits { .. }));
    small.finish(ms(1), &mut alone);
    assert!(small.next(ms(1)).is_some());
}

#[test]
fn consequences_hold_their_seats() {
    let mut queues = Queues::new(ms(0), QUEUE, 2);
    let work = Work { seats: 1, last_seats: 2, last_time: ms(5) };
    let mut running = runs(arrive(&mut queues, 0, 1, work, "a"));
    assert_eq!(running.last_time(), Some(ms(5)));
    queues.linger(ms(1), &mut running);
    assert!(matches!(arrive(&mut queues, 1, 2, Work::ONE, "b"), Arrival::Waits { .. }));
    queues.finish(ms(6), &mut running);
    assert_eq!(queues.next(ms(6)).map(|(name, _)| name), Some("b"));
}

#[test]
fn a_raised_limit_lets_more_run() {
    let mut queues = Queues::new(ms(0), QUEUE, 1);
    arrive(&mut queues, 0, 1, Work::ONE, "a");
    arrive(&mut queues, 0, 1, Work::ONE, "b");
    arrive(&mut queues, 0, 1, Work::ONE, "c");
    queues.set_limit(ms(1), 2);
    assert_eq!(queues.next(ms(1)).map(|(name, _)| name), Some("b"));
    assert!(queues.next(ms(1)).is_none());
    queues.configure(ms(1), Overflow::Queue { queues: 1, hand: 1, length_max: 3 });
    queues.set_limit(ms(1), 3);
    assert_eq!(queues.next(ms(1)).map(|(name, _)| name), Some("c"), "queues that are dealt no more are emptied");
}

/// Seats are shared by flow, not by how much each flow asks: a flood gets no more than its share while others want
/// theirs, and all of it while they do not.
#[test]
fn flows_share_a_level_fairly() {
    const SEED: u64 = 11;
    const SEATS: usize = 4;
    let mut rng = SmallRng::seed_from_u64(SEED);
    let mut queues: Queues<u64> = Queues::new(ms(0), Overflow::Queue { queues: 8, hand: 1, length_max: 1000 }, SEATS);
    let mut done = [0_u64; 3];
    let mut running: Vec<(u64, u64, Running)> = Vec::new();
    for now in 0..20_000_u64 {
        // Flow 0 floods, flows 1 and 2 ask for about half of the level together.
        let asked = [(0, 8), (1, usize::from(rng.random_ratio(1, 10))), (2, usize::from(rng.random_ratio(1, 10)))];
        for (flow, count) in asked {
            for _ in 0..count {
                if let Arrival::Runs(started) = queues.arrive(ms(now), flow, Work::ONE, || flow) {
                    running.push((flow, now + 10, started));
                }
            }
        }
        let (over, still): (Vec<_>, Vec<_>) = running.drain(..).partition(|(_, until, _)| *until <= now);
        running = still;
        for (flow, _, mut one) in over {
            queues.finish(ms(now), &mut one);
            done[flow as usize] += 1;
        }
        while let Some((flow, started)) = queues.next(ms(now)) {
            running.push((flow, now + 10, started));
        }
        assert!(running.len() <= SEATS);
    }
    // 4 seats for 20 s at 10 ms are 8,000 requests; flows 1 and 2 ask for about 2,000 each.
    assert!(done[1] > 1_900 && done[2] > 1_900, "seed {SEED}: {done:?}");
    assert!(done[0] > 3_500 && done.iter().sum::<u64>() > 7_900, "seed {SEED}: {done:?}");
}
