//! The loops against a small server of the test's own.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use load::drive::{Plan, run};
use load::kubeconfig::Server;
use load::work::Work;

/// Answers 201 after `delay`; every `refuse`th request with 429. Counts requests and body bytes.
async fn serve(delay: Duration, refuse: u64) -> (Server, Arc<AtomicU64>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = Arc::new(AtomicU64::new(0));
    let (seen, counted) = (Arc::new(AtomicU64::new(0)), bytes.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (seen, counted) = (seen.clone(), counted.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (seen, counted) = (seen.clone(), counted.clone());
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    counted.fetch_add(body.len() as u64, Ordering::Relaxed);
                    tokio::time::sleep(delay).await;
                    let number = 1 + seen.fetch_add(1, Ordering::Relaxed);
                    let refused = refuse > 0 && number.is_multiple_of(refuse);
                    let status = if refused { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::CREATED };
                    let answer = Response::builder().status(status).body(Full::new(Bytes::from_static(b"{}"))).unwrap();
                    Ok::<_, Infallible>(answer)
                }
            });
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (Server { address, authority: address.to_string(), tls: None, token: None }, bytes)
}

fn plan(connections: usize, count: u64, h2: bool) -> Plan {
    let work = Work::Create { namespace: "n".into(), run: "r".into(), bytes: 1024 };
    Plan { work, h2, connections, count, time: Duration::from_secs(60), rate: None }
}

#[tokio::test]
async fn closed_loops_send_what_was_asked_for() {
    for h2 in [false, true] {
        let (server, bytes) = serve(Duration::ZERO, 0).await;
        let report = run(&server, &plan(4, 200, h2)).await.unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.ok, report.r#loop, bytes.load(Ordering::Relaxed)), (200, "closed", 200 * 1024));
    }
}

#[tokio::test]
async fn refusals_are_counted_apart() {
    let (server, _) = serve(Duration::ZERO, 10).await;
    let report = run(&server, &plan(1, 100, false)).await.unwrap();
    assert_eq!((report.ok, report.refused.get(&429), report.broken), (90, Some(&10), 0));
    assert!(!report.is_clean() && report.why.unwrap().starts_with("429"));
}

/// A closed loop does not see that requests waited; an open one does.
#[tokio::test]
async fn an_open_loop_counts_the_wait() {
    let (server, _) = serve(Duration::from_millis(20), 0).await;
    let closed = run(&server, &plan(1, 20, false)).await.unwrap();
    let open = run(&server, &Plan { rate: Some(500.0), ..plan(1, 20, false) }).await.unwrap();
    assert_eq!((open.ok, open.r#loop), (20, "open"));
    assert!(open.latency_us.max > 5 * closed.latency_us.min, "the last waited for all before it: {open}");
}

#[tokio::test]
async fn runs_are_bounded() {
    let (server, _) = serve(Duration::ZERO, 0).await;
    for (case, plan) in [
        ("no connection", plan(0, 1, false)),
        ("too many connections", plan(100_000, 1, false)),
        ("nothing to do", plan(1, 0, false)),
        ("too long", Plan { time: Duration::from_secs(100_000), ..plan(1, 1, false) }),
    ] {
        assert!(run(&server, &plan).await.is_err(), "{case}");
    }
    let endless = Plan { time: Duration::from_millis(50), ..plan(2, 2_000_000, false) };
    let report = run(&server, &endless).await.unwrap();
    assert!(report.ok > 0 && report.seconds < 30.0, "time ends it: {report}");
}
