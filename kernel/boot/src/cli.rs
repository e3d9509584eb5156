//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands;
use crate::options::{Place, Up};
use crate::progress::Output;

/// Kubernetes, opened up: a cluster in one binary.
#[derive(Parser)]
#[command(name = "kubernel", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster and stay with it (Ctrl-C or SIGTERM stops it in order)
    Up(Up),
    /// Start the API, the controllers and the scheduler without a node; several servers may share one etcd
    Server(commands::server::Server),
    /// Say whether the cluster runs, and how it is
    Status {
        #[command(flatten)]
        place: Place,
        /// How the state is written
        #[arg(short = 'o', long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Stop a running cluster; its containers and data stay
    Down {
        #[command(flatten)]
        place: Place,
    },
    /// Remove everything that the cluster left on this machine
    Reset(commands::reset::Reset),
    /// Images of the container runtime
    #[command(subcommand)]
    Images(commands::images::Images),
    /// Print the version
    Version,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("cannot start the runtime")),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Up(up) => commands::up::run(up).await,
            Command::Server(server) => commands::server::run(server).await,
            Command::Status { place, output } => commands::status::run(&place, output).await,
            Command::Down { place } => commands::down::run(&place),
            Command::Reset(reset) => commands::reset::run(reset).await,
            Command::Images(images) => commands::images::run(images).await,
            Command::Version => {
                commands::version::run();
                Ok(())
            }
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("kubernel: {error:#}");
    ExitCode::FAILURE
}

/// Logs go to standard error: warnings, or what `KUBERNEL_LOG` asks for.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("KUBERNEL_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}
