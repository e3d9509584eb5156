//! `load`: puts an API server of this machine under load and says what it took. See the README for its use.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::{Args, Parser, Subcommand};
use http::Method;
use load::connection::Connection;
use load::drive::{self, Plan};
use load::kubeconfig;
use load::process::Process;
use load::ready::{self, Start};
use load::report::{Latency, microseconds};
use load::watch::{self, Fan};
use load::work::{self, BYTES_MAX, LABEL, Work};
use serde_json::json;

/// Measures an API server on this machine's loopback.
#[derive(Parser)]
struct Cli {
    /// Where the server is and who asks; `{run}` is replaced by the number of the run of `ready`.
    #[arg(long, global = true)]
    kubeconfig: Option<PathBuf>,
    /// Also write each result as one JSON line to this file; `-` is the standard output.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create ConfigMaps.
    Create {
        #[command(flatten)]
        run: RunArgs,
        /// Bytes of each object's JSON, up to 1 MiB.
        #[arg(long, default_value_t = 1024)]
        bytes: usize,
        #[arg(long, default_value = "default")]
        namespace: String,
    },
    /// Create pods that nobody schedules.
    Pods {
        #[command(flatten)]
        run: RunArgs,
        #[arg(long, default_value = "default")]
        namespace: String,
    },
    /// Open watches, create ConfigMaps, and wait until every watch has been told of each.
    Watch {
        #[arg(long, default_value_t = 1000)]
        watches: usize,
        /// Watches on one connection; more than one speak HTTP/2.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
        on_each: u16,
        #[arg(long, default_value_t = 100)]
        events: u64,
        /// The server's process id, to see what it uses.
        #[arg(long)]
        pid: Option<u32>,
        #[arg(long, default_value = "default")]
        namespace: String,
    },
    /// Get one object.
    Get {
        #[command(flatten)]
        run: RunArgs,
        #[arg(long, default_value = "/api/v1/namespaces/default")]
        path: String,
    },
    /// List a collection as one page.
    List {
        #[command(flatten)]
        run: RunArgs,
        #[arg(long, default_value = "/api/v1/namespaces/default/configmaps")]
        path: String,
        /// Fail unless the collection has at least this many items.
        #[arg(long, default_value_t = 0)]
        expect: usize,
    },
    /// Delete what `create` made.
    Clean {
        #[arg(long, default_value = "default")]
        namespace: String,
    },
    /// Measure from exec to /readyz: `load ready --kubeconfig F -- COMMAND...`
    Ready {
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
        runs: u32,
        /// Seconds that the server may take.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
        wait: u64,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Args)]
struct RunArgs {
    /// Connections, each with one request under way.
    #[arg(short, long, default_value_t = 1)]
    connections: usize,
    /// Requests; the run ends with these or the seconds.
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Requests a second, each started at its time whether or not earlier ones are answered: an open loop.
    #[arg(long)]
    rate: Option<f64>,
    /// Speak HTTP/2.
    #[arg(long)]
    http2: bool,
}

impl RunArgs {
    fn plan(self, work: Work) -> Plan {
        Plan {
            work,
            h2: self.http2,
            connections: self.connections,
            count: self.count,
            time: Duration::from_secs(self.seconds),
            rate: self.rate,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every request went well.
async fn run(cli: Cli) -> Result<bool> {
    let path = cli.kubeconfig.unwrap_or_else(kubeconfig::default_path);
    let plan = match cli.command {
        Command::Create { run, bytes, namespace } => {
            if bytes > BYTES_MAX {
                bail!("objects of at most {BYTES_MAX} bytes");
            }
            run.plan(Work::Create { namespace, run: run_name()?, bytes })
        }
        Command::Pods { run, namespace } => run.plan(Work::Pods { namespace, run: run_name()? }),
        Command::Watch { watches, on_each, events, pid, namespace } => {
            let fan = Fan {
                kubeconfig: path,
                namespace,
                run: run_name()?,
                watches,
                on_each: on_each.into(),
                events,
                process: pid.map(Process),
            };
            let told = watch::fan_out(&fan).await?;
            println!("{}", serde_json::to_string_pretty(&told).context("a result is plain data")?);
            write_json(cli.json.as_ref(), &told)?;
            return Ok(true);
        }
        Command::Get { run, path } => run.plan(Work::Get { path }),
        Command::List { run, path: list, expect } => {
            let mut connection = Connection::open(&kubeconfig::load(&path, run.http2)?, run.http2).await?;
            let answer = connection.send(Method::GET, &list, Bytes::new()).await?;
            let items = work::items(&answer.body)?;
            println!("{items} items, {:.1} MB a page", answer.body.len() as f64 / 1e6);
            if items < expect {
                bail!("{list} has {items} items, not {expect}");
            }
            run.plan(Work::List { path: list })
        }
        Command::Clean { namespace } => {
            let mut connection = Connection::open(&kubeconfig::load(&path, false)?, false).await?;
            let target = format!("/api/v1/namespaces/{namespace}/configmaps?labelSelector={LABEL}");
            let answer = connection.send(Method::DELETE, &target, Bytes::new()).await?;
            println!("{}", answer.status);
            return Ok(answer.status.is_success());
        }
        Command::Ready { runs, wait, command } => {
            let start = Start { command, kubeconfig: path, wait_max: Duration::from_secs(wait) };
            return measure_ready(&start, runs, cli.json.as_ref()).await;
        }
    };
    let server = kubeconfig::load(&path, plan.h2)?;
    let report = drive::run(&server, &plan).await?;
    print!("{report}");
    write_json(cli.json.as_ref(), &report)?;
    Ok(report.is_clean())
}

/// A name that no other run has.
fn run_name() -> Result<String> {
    let since = SystemTime::UNIX_EPOCH.elapsed().context("the clock is before 1970")?;
    Ok(format!("{:x}", since.as_millis()))
}

async fn measure_ready(start: &Start, runs: u32, json: Option<&PathBuf>) -> Result<bool> {
    let mut times = microseconds();
    for run in 1..=runs {
        let taken = ready::measure(start, run).await?;
        println!("run {run}: {:.1} ms", taken.as_secs_f64() * 1000.0);
        times.saturating_record(u64::try_from(taken.as_micros()).unwrap_or(u64::MAX));
    }
    let latency = Latency::of(&times);
    println!("ready after: median {:.1} ms, of {runs} runs", latency.p50 as f64 / 1000.0);
    write_json(json, &json!({"work": "ready", "runs": runs, "latency_us": latency}))?;
    Ok(true)
}

fn write_json(to: Option<&PathBuf>, result: &impl serde::Serialize) -> Result<()> {
    let Some(path) = to else { return Ok(()) };
    let line = serde_json::to_string(result).context("a result is plain data")?;
    if path.as_os_str() == "-" {
        println!("{line}");
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let file = file.as_mut().map_err(|error| anyhow::anyhow!("cannot open {}: {error}", path.display()))?;
    writeln!(file, "{line}").with_context(|| format!("cannot write {}", path.display()))
}
