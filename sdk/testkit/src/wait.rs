//! Waiting in tests, for events and never for time.

/// Turns given to other tasks by one [`settle`]; more than any chain of wake-ups in our tests is long.
const TURNS: usize = 200;

/// Turns after which [`until`] gives up.
const TURNS_MAX: usize = 100_000;

/// Lets every other task run until nobody has anything to do. For runtimes of one thread, as `#[tokio::test]` makes.
pub async fn settle() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

/// Waits until `done` holds. Panics with `what` if it never does.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..TURNS_MAX {
        if done() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("waited in vain: {what}");
}
