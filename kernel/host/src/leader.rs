//! Several servers on one store: what only one may do, it does while it holds a lease.

use std::sync::Arc;
use std::time::Duration;

use sdk_api::Clock;
use sdk_client::Client;
use sdk_controller::{LeaderElection, LeaseSettings};
use tracing::warn;

use crate::task::{OnFailure, Stage, Task, TaskTable};

/// How long the led tasks may take to end. A leader that cannot renew stops this much before others may lead: the lease's
/// duration less its renew deadline is 5 s.
const STOP_DEADLINE: Duration = Duration::from_secs(4);

/// The task that contends for the lease, and runs `led` in a table of their own while it holds it.
pub fn task(client: Client, clock: Arc<dyn Clock>, lease: LeaseSettings, led: Vec<Task>) -> Task {
    let election = Arc::new(LeaderElection::new(client, clock.clone(), lease));
    let led = Arc::new(led);
    Task {
        name: "leader".into(),
        owner: "host".into(),
        stage: Stage::Controllers,
        on_failure: OnFailure::Restart,
        run: Arc::new(move |stop| {
            let (election, clock, led) = (election.clone(), clock.clone(), led.clone());
            Box::pin(async move {
                // Whoever lost the lease contends for it again.
                while !stop.is_cancelled() {
                    let lead = async |leading: tokio_util::sync::CancellationToken| {
                        let tasks = TaskTable::new(clock.clone());
                        led.iter().for_each(|task| tasks.start(task.clone()));
                        leading.cancelled().await;
                        for late in tasks.stop(STOP_DEADLINE).await {
                            warn!(task = late, "A task goes on without the lease: it did not stop in time.");
                        }
                    };
                    election.run(stop.clone(), lead).await;
                }
                Ok(())
            })
        }),
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::Key;
    use sdk_api::k8s_openapi::api::coordination::v1::Lease;
    use sdk_testkit::{FakeApi, ManualClock, until};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn one_of_two_servers_runs_what_is_led_and_the_other_takes_over() {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let running = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let server = |at: usize| {
            let (count, table) = (running[at].clone(), TaskTable::new(clock.clone()));
            let led = Task {
                name: "led".into(),
                owner: "test".into(),
                stage: Stage::Agents,
                on_failure: OnFailure::Restart,
                run: Arc::new(move |stop| {
                    let count = count.clone();
                    Box::pin(async move {
                        count.fetch_add(1, Ordering::SeqCst);
                        stop.cancelled().await;
                        count.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    })
                }),
            };
            let lease = LeaseSettings::new("kube-system", "boss", ["a", "b"][at]);
            table.start(task(api.admin(), clock.clone(), lease, vec![led]));
            table
        };
        let counts = || [0, 1].map(|at| running[at].load(Ordering::SeqCst));
        let first = server(0);
        until("the first leads", || counts() == [1, 0]).await;
        let second = server(1);
        clock.run_for(Duration::from_secs(60)).await;
        assert_eq!(counts(), [1, 0]);
        assert!(first.stop(Duration::from_secs(1)).await.is_empty());
        clock.run_for(Duration::from_secs(3)).await;
        assert_eq!(counts(), [0, 1]);
        let lease = api.tree(&Key::of::<Lease>("kube-system", "boss"));
        assert_eq!(lease["spec"]["holderIdentity"], "b");
        assert!(second.stop(Duration::from_secs(1)).await.is_empty());
        assert_eq!(counts(), [0, 0]);
    }
}
